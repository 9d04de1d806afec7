"""Measures of what the stages of a run have learned, as scalars and as a table."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detectron2.utils import comm
from omegaconf import DictConfig
from tabulate import tabulate

from medmask.config.building import build_part
from medmask.data.loaders import load_dataset_dicts
from medmask.stages.learning import LearningMeasure, Sample
from medmask.stages.loss_hook import LossHook
from medmask.utils.shared_failure import raise_together

logger = logging.getLogger(__name__)

PREFIX = "learning/"
CONSTANT = "_constant"
BEATS_CONSTANT = "_beats_constant"
REPORT_SECONDS = 10.0
"""Time from one line on the progress to the next."""


class LearningReport:
    """Measures every stage on images of ``dataloader.test``, and logs a table.

    Args:
        config: of the run; ``train.held_out_images`` is how many images, evenly chosen.
        hooks: of the run.
    """

    def __init__(self, config: DictConfig, hooks: Sequence[LossHook]) -> None:
        self._config = config
        self._hooks = hooks
        self._num_images = config.train.held_out_images
        self._compared: set[LossHook] = set()

    def ends(self) -> set[int]:
        """Iterations after which a stage acts no more, and so is measured for the last time."""
        return {hook.last_iteration() for hook in self._hooks} if self._num_images else set()

    def check(self) -> None:
        """Check that all stages can be measured; called in all processes, before training.

        Raises:
            InputError: one cannot, in all processes.
        """
        problem: Exception | None = None
        if self._num_images and comm.is_main_process():
            try:
                records = self._records()
                for hook in self._hooks:
                    hook.check_held_out(records)
            except Exception as error:  # the others would wait
                problem = error
        raise_together(problem)

    def measure(self, iteration: int) -> dict[str, float]:
        """Measure all stages; warns of those that end here and do not beat their constant.

        Args:
            iteration: how many are done.

        Returns:
            ``learning/<measure>``, ``learning/<measure>_constant`` and
            ``learning/<measure>_beats_constant``, 1 or 0.
        """
        if not self._num_images:
            return {}
        measures: dict[str, LearningMeasure] = {}
        at_end: list[str] = []
        for hook in self._hooks:
            measured = hook.measure_learning(self._samples(type(hook).__name__))
            measures |= measured
            if measured:
                self._warn_of_training_images(hook)
            if iteration >= hook.last_iteration():
                at_end += [name for name, x in measured.items() if not x.beats_constant]
        if measures:
            logger.info(f"Learning of the stages, on held-out images:\n{to_table(measures)}")
        if at_end:
            logger.warning(
                f"{_describe(at_end, measures)}. It is not shown that these stages have learned "
                "anything of the images."
            )
        values = {}
        for name, x in measures.items():
            values[f"{PREFIX}{name}"] = x.value
            values[f"{PREFIX}{name}{CONSTANT}"] = x.constant
            values[f"{PREFIX}{name}{BEATS_CONSTANT}"] = float(x.beats_constant)
        return values

    def _warn_of_training_images(self, hook: LossHook) -> None:
        """Warn, at its first measurement, of a stage that trains on the images of it."""
        stream = getattr(hook.loader, "stream", None)
        if stream is None or hook in self._compared:
            return
        self._compared.add(hook)
        own = {record["file_name"] for record in stream.dataset_dicts}
        names = [record["file_name"] for record in self._records()]
        count = sum(name in own for name in names)
        if count:
            logger.warning(
                f"{type(hook).__name__} trains on {count} of the {len(names)} images of "
                "dataloader.test that it is measured on: of them, boxes alone are held out, and "
                "what it has learned of other images is not measured."
            )

    def _samples(self, stage: str) -> Iterator[Sample]:
        part = self._config.dataloader.test
        changes = {"with_boxes": True} if "with_boxes" in part.mapper else {}
        mapper = build_part({**part.mapper, **changes}, "dataloader.test.mapper")
        records = self._records()
        count = len(records)
        start = last_report = time.monotonic()
        for i, record in enumerate(records):
            now = time.monotonic()
            if i and now - last_report > REPORT_SECONDS:
                left = (now - start) / i * (count - i)
                logger.info(f"Learning of {stage}: {i} of {count} images, {left:.0f} s left")
                last_report = now
            more = {"annotations": record["annotations"], "random_seed": i}
            yield mapper(record) | more

    def _records(self) -> list[dict[str, Any]]:
        """Choose the held-out images, evenly, each with its annotations."""
        records = load_dataset_dicts(self._config.dataloader.test.dataset)
        count = min(self._num_images, len(records))
        chosen = (records[i * len(records) // count] for i in range(count))
        return [{"annotations": [], **record} for record in chosen]


def to_table(measures: Mapping[str, LearningMeasure]) -> str:
    """Write a table: measure, value, constant, and whether the value is above it beyond chance."""
    rows = [
        [name, *_figures(x.value, x.constant), "yes" if x.beats_constant else "NO"]
        for name, x in measures.items()
    ]
    header = ["measure", "value", "constant", "beyond chance"]
    return tabulate(rows, header, "github", disable_numparse=True)


def _describe(names: Sequence[str], measures: Mapping[str, LearningMeasure]) -> str:
    nothing = [name for name in names if math.isnan(measures[name].value)]
    below = [
        f"{name} is {measures[name].value:.3f} ({measures[name].constant:.3f})"
        for name in names
        if name not in nothing
    ]
    parts = []
    if below:
        parts.append(
            "not above a constant answer (in brackets) by more than chance gives: "
            f"{', '.join(below)}"
        )
    if nothing:
        parts.append(f"nothing to measure by: {', '.join(nothing)}")
    return f"On held-out images {'; '.join(parts)}"


def _figures(*values: float) -> list[str]:
    return ["none" if math.isnan(value) else f"{value:.3f}" for value in values]
