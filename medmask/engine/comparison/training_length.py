"""Labeled images that runs of a comparison were trained on: a control should see as many."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medmask.engine.comparison.plan import Comparison, Run
from medmask.engine.comparison.run_result import Results, RunResult


@dataclass(frozen=True)
class OtherLength:
    """A run and a control that were not trained on as many labeled images."""

    run: str
    control: str
    shared_start: str | None
    """the run that both come from; None if there is none"""
    images: int
    """of the run since that start, images of all its steps"""
    control_images: int

    def describe(self) -> str:
        """A sentence for the table."""
        since = f" since {self.shared_start}" if self.shared_start else ""
        longer = "the run's" if self.images > self.control_images else "the control's"
        return (
            f"{self.run} was trained on {self.images:,} labeled images{since}, its control "
            f"{self.control} on {self.control_images:,}: {longer} longer training is part of the "
            "difference"
        )


def other_lengths(comparison: Comparison, results: Results) -> Iterator[OtherLength]:
    """Find runs whose control saw more or fewer labeled images.

    An image counts each time that it is seen. Where a run's own start is among its controls, that
    is meant, and not told.

    Args:
        comparison: the plan.
        results: of its runs; those that do not tell their length are passed over.

    Yields:
        One for each run and control, of the first seed at which they differ.
    """
    for run in comparison.runs:
        for name in run.controls:
            control = comparison[name]
            start = comparison.shared_start(run, control)
            if start == control.name:
                continue
            for seed in sorted(results[run.name].keys() & results[name].keys()):
                images = _images(comparison, run, start, results, seed)
                others = _images(comparison, control, start, results, seed)
                if images is not None and others is not None and images != others:
                    yield OtherLength(run.name, name, start, images, others)
                    break


def _images(
    comparison: Comparison,
    run: Run,
    start: str | None,
    results: Mapping[str, Mapping[int, RunResult]],
    seed: int,
) -> int | None:
    """Images since a start, of the runs between; None where one does not tell."""
    images = 0
    for each in comparison.origins(run):
        if each.name == start:
            break
        result = results[each.name].get(seed)
        of_run = None if result is None else result.labeled_images
        if of_run is None:
            return None
        images += of_run
    return images
