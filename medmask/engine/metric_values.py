"""Metrics of a run as its files and trackers get them: values of single iterations."""

import math
from collections import defaultdict

from detectron2.utils.events import get_event_storage

from medmask.engine.trainer import Metrics


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
            is_finite = value is not None and math.isfinite(value)
            found[at][name] = value if is_finite else None
    return dict(sorted(found.items()))
