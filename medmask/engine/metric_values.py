"""Metrics of a run as its files and trackers get them: values of single iterations."""

from collections import defaultdict

from detectron2.utils.events import EventStorage, get_event_storage

from medmask.utils.json_files import finite_or_none

TIMES = ("time", "data_time")
"""Metrics in seconds."""

Metrics = dict[str, tuple[float | None, int]]
"""name -> value, None if it is not finite, and its iteration"""


def latest_metrics(storage: EventStorage, past: Metrics) -> Metrics:
    """Find the last value of each metric.

    Args:
        storage: of the run.
        past: the latest values of the run that is resumed.
    """
    latest = {
        name: (finite_or_none(value), iteration)
        for name, (value, iteration) in storage.latest().items()
        if name not in TIMES  # no two runs have the same
    }
    return past | latest


def metrics_after(iteration: int, past: Metrics) -> dict[int, dict[str, float | None]]:
    """Find the latest values that are later than an iteration.

    Args:
        iteration: the last one that was written; -1 for none.
        past: the latest values of the run that is resumed.

    Returns:
        iteration -> name -> value, in the order of the iterations; None for what is not finite.
    """
    found: defaultdict[int, dict[str, float | None]] = defaultdict(dict)
    for name, (value, at) in (past | get_event_storage().latest()).items():
        if at > iteration:
            found[at][name] = None if value is None else finite_or_none(value)
    return dict(sorted(found.items()))
