"""Evaluate now and then, remember every result, keep the best model."""

import itertools
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.checkpoint import Checkpointer
from detectron2.engine import HookBase
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from torch import nn

from medmask.checkpoint import save_weights
from medmask.engine.learning import LearningReport
from medmask.errors import InputError
from medmask.utils.json_files import finite_values, write_json
from medmask.utils.shared_failure import raise_together

logger = logging.getLogger(__name__)

JUDGED = "judged"
"""Key of an evaluation that holds no result: the metric that decided and the data sets"""


class EvaluationHook(HookBase):
    """Evaluates every ``period`` iterations and after the last one.

    All results are kept in ``evaluations.json`` and go to the event storage. The model whose
    ``best_metric`` is the highest so far is saved as ``model_best.pth``; of other models that are
    evaluated beside it, the best weights are saved as ``<name>_best.pth``. A resumed run with
    another metric or other data sets chooses the best anew.
    """

    def __init__(
        self,
        period: int,
        evaluate: Callable[[nn.Module, str], dict[str, Any]],
        checkpointer: Checkpointer,
        output_dir: str,
        best_metric: str,
        extra_models: Mapping[str, nn.Module] | None = None,
        learning: LearningReport | None = None,
        datasets: Sequence[str] = (),
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
            learning: of the stages; its measures are results, too, and are also taken when a stage
                acts for the last time.
            datasets: names of those that are tested on.
        """
        self.period = period
        self.evaluate = evaluate
        self.checkpointer = checkpointer
        self.path = Path(output_dir) / "evaluations.json"
        self.best_metric = best_metric
        self.extra_models = extra_models or {}
        self.learning = learning
        self.history: list[dict[str, Any]] = []
        self._judged = {"metric": best_metric, "datasets": list(datasets)}

    def before_train(self) -> None:
        start = self.trainer.start_iter
        if start and self.path.exists():
            self.history = [e for e in _read_history(self.path) if e["iteration"] <= start]
        # A run that died while evaluating owes the evaluation of its last checkpoint, and what a
        # stage that ended with it has learned.
        last = self.history[-1] if self.history else {"iteration": 0}
        known = comm.all_gather(last["iteration"] == start and self._is_of_these_images(last))[0]
        is_due = self._is_due(start) or (start > 0 and start >= self.trainer.max_iter)
        self._learning_ends = self.learning.ends() if self.learning is not None else set()
        if is_due or (start > 0 and start in self._learning_ends):
            # as in the run that died
            self.trainer.iter = self.trainer.storage.iter = start - 1
            if not is_due:
                self.trainer.storage.put_scalars(**self._measure(start), smoothing_hint=False)
            elif known:
                results = {k: math.nan if v is None else v for k, v in results_of(last).items()}
                del results["iteration"]
                self.trainer.storage.put_scalars(**results, smoothing_hint=False)
            else:
                self._evaluate(start)
            self.trainer.iter = self.trainer.storage.iter = start

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if self._is_due(done) or done == self.trainer.max_iter:
            self._evaluate(done)
        elif done in self._learning_ends:
            self.trainer.storage.put_scalars(**self._measure(done), smoothing_hint=False)

    def _measure(self, iteration: int) -> dict[str, float]:
        learning = self.learning
        if learning is None:
            return {}
        return self._on_main_process(lambda: learning.measure(iteration))

    def _is_due(self, iterations: int) -> bool:
        return self.period > 0 and iterations > 0 and iterations % self.period == 0

    def _evaluate(self, iteration: int) -> None:
        results = self.evaluate(self.checkpointer.model, "")
        for name, model in self.extra_models.items():
            results[name] = self.evaluate(model, name)
        comm.synchronize()
        results = flatten_results_dict(results) | self._measure(iteration)
        improved = self._on_main_process(lambda: self._compare(iteration, results))
        # The results are written last: without them, a run that dies in between evaluates again.
        if self.best_metric in improved:
            self.checkpointer.save("model_best", iteration=iteration - 1)
        for name, model in self.extra_models.items():
            if f"{name}/{self.best_metric}" in improved:
                save_weights(model, self.path.with_name(f"{name}_best.pth"))
        self._on_main_process(lambda: self._record(iteration, results))

    def _on_main_process(self, work: Callable[[], Any]) -> Any:
        """Share the result of ``work`` there with all processes; an error is raised in all."""
        result, failure = None, None
        if comm.is_main_process():
            try:
                result = work()
            except Exception as error:
                failure = error
        raise_together(failure)
        return comm.all_gather(result)[0]

    def _compare(self, iteration: int, results: dict[str, float]) -> list[str]:
        """Find the metrics that decide and are the best so far."""
        metrics = [self.best_metric, *(f"{name}/{self.best_metric}" for name in self.extra_models)]
        if self.best_metric not in results:
            raise InputError(
                f"train.best_metric is {self.best_metric!r}, which the evaluation does not give; "
                f"choose one of {sorted(results)}"
            )
        improved = [m for m in metrics if results[m] > self._best(m)]
        for metric in improved:
            logger.info(f"Best {metric} so far: {results[metric]:.4g} at iteration {iteration}")
        if math.isnan(results[self.best_metric]):
            is_there = self.path.with_name("model_best.pth").exists()
            logger.warning(
                f"{self.best_metric}, which is train.best_metric, is undefined here, so that "
                "nothing tells whether this model is the best"
                + ("." if is_there else ": no model_best.pth.")
            )
        return improved

    def _record(self, iteration: int, results: dict[str, float]) -> None:
        """Keep the results."""
        entry = {"iteration": iteration, **results, JUDGED: self._judged}
        self.history.append(finite_values(entry))
        write_json(self.path, self.history)
        self.trainer.storage.put_scalars(**results, smoothing_hint=False)

    def _is_of_these_images(self, entry: Mapping[str, Any]) -> bool:
        """True if an entry is not known to be of other data sets."""
        return entry.get(JUDGED, self._judged)["datasets"] == self._judged["datasets"]

    def _best(self, metric: str) -> float:
        """The highest value since another metric or other data sets chose the best model.

        Entries of versions of before do not tell, and count.
        """
        since = itertools.takewhile(
            lambda entry: entry.get(JUDGED, self._judged) == self._judged, reversed(self.history)
        )
        values = (entry.get(metric) for entry in since)
        return max((v for v in values if v is not None and not math.isnan(v)), default=-math.inf)


def results_of(entry: Mapping[str, Any]) -> dict[str, float | None]:
    """The iteration and the results of an entry of ``evaluations.json``."""
    return {name: value for name, value in entry.items() if name != JUDGED}


def _read_history(path: Path) -> list[dict[str, Any]]:
    try:
        history = finite_values(json.loads(path.read_text()))
        return sorted(history, key=lambda entry: entry["iteration"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} is no list of evaluations ({error}): delete it to go on without them"
        ) from None


def write_results(results: dict[str, float], folder: Path) -> None:
    """Write the results of a single evaluation to ``evaluation.json``."""
    write_json(folder / "evaluation.json", finite_values(results))
