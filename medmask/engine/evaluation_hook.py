"""Evaluate now and then, remember every result, keep the best model."""

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from detectron2.checkpoint import Checkpointer
from detectron2.engine import HookBase
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from torch import nn

from medmask.checkpoint import save_weights
from medmask.errors import InputError
from medmask.utils.files import atomic_write

logger = logging.getLogger(__name__)


class EvaluationHook(HookBase):
    """Evaluates every ``period`` iterations and after the last one.

    All results are kept in ``evaluations.json`` and go to the event storage. The model whose
    ``best_metric`` is the highest so far is saved as ``model_best.pth``; of other models that are
    evaluated beside it, the best weights are saved as ``<name>_best.pth``.
    """

    def __init__(
        self,
        period: int,
        evaluate: Callable[[nn.Module, str], dict[str, Any]],
        checkpointer: Checkpointer,
        output_dir: str,
        best_metric: str,
        extra_models: Mapping[str, nn.Module] | None = None,
    ):
        """Create the hook.

        Args:
            period: iterations between evaluations; 0 evaluates after the last iteration only.
            evaluate: from a model and its name ("" for the trained one) to nested dicts of numbers
                (in the main process; others may return {}).
            checkpointer: holds the model, and saves the best.
            output_dir: where ``evaluations.json`` is.
            best_metric: path of a number in the results, such as ``froc/R@0.3``; higher is better.
            extra_models: evaluated, too; their results are called ``<name>/...``.
        """
        self.period = period
        self.evaluate = evaluate
        self.checkpointer = checkpointer
        self.path = Path(output_dir) / "evaluations.json"
        self.best_metric = best_metric
        self.extra_models = extra_models or {}
        self.history: list[dict[str, float]] = []

    def before_train(self) -> None:
        start = self.trainer.start_iter
        if start and self.path.exists():
            past = json.loads(self.path.read_text())
            self.history = [entry for entry in past if entry["iteration"] <= start]
        # A run that died while evaluating owes the evaluation of its last checkpoint.
        known = start in {entry["iteration"] for entry in self.history}
        if self._is_due(start) and not comm.all_gather(known)[0]:
            self._evaluate(start)

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if self._is_due(done) or done == self.trainer.max_iter:
            self._evaluate(done)

    def _is_due(self, iterations: int) -> bool:
        return self.period > 0 and iterations > 0 and iterations % self.period == 0

    def _evaluate(self, iteration: int) -> None:
        results = self.evaluate(self.checkpointer.model, "")
        for name, model in self.extra_models.items():
            results[name] = self.evaluate(model, name)
        comm.synchronize()
        improved = self._record(iteration, flatten_results_dict(results))
        improved = comm.all_gather(improved)[0]  # what the main process found
        if self.best_metric in improved:
            self.checkpointer.save("model_best", iteration=iteration - 1)
        for name, model in self.extra_models.items():
            if f"{name}/{self.best_metric}" in improved:
                save_weights(model, self.path.with_name(f"{name}_best.pth"))

    def _record(self, iteration: int, results: dict[str, float]) -> list[str]:
        """Store the results; returns which of the metrics that decide are the best so far."""
        if not comm.is_main_process():
            return []
        metrics = [self.best_metric, *(f"{name}/{self.best_metric}" for name in self.extra_models)]
        if self.best_metric not in results:
            raise InputError(
                f"train.best_metric is {self.best_metric!r}, which the evaluation does not give; "
                f"choose one of {sorted(results)}"
            )
        self.trainer.storage.put_scalars(**results, smoothing_hint=False)
        improved = [m for m in metrics if results[m] > self._best(m)]
        self.history.append({"iteration": iteration, **_without_nan(results)})
        with atomic_write(self.path, "w") as file:
            json.dump(self.history, file, indent=1)
        for metric in improved:
            logger.info(f"Best {metric} so far: {results[metric]:.4g} at iteration {iteration}")
        return improved

    def _best(self, metric: str) -> float:
        values = (entry.get(metric) for entry in self.history)
        return max((v for v in values if v is not None and not math.isnan(v)), default=-math.inf)


def write_results(results: dict[str, float], folder: Path) -> None:
    """Write the results of a single evaluation to ``evaluation.json``."""
    with atomic_write(folder / "evaluation.json", "w") as file:
        json.dump(_without_nan(results), file, indent=1)


def _without_nan(results: dict[str, float]) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {key: None if math.isnan(value) else value for key, value in results.items()}
