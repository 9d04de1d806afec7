"""Tables of figures for the terminal."""

import math
from collections.abc import Sequence

import numpy as np
from tabulate import tabulate


def text_table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """Rows under their headers, as they are written, each column at the right."""
    return tabulate(rows, headers=headers, disable_numparse=True, stralign="right")


def decimal(value: float) -> str:
    """Three digits; "undefined" for NaN, and "none" for a threshold that no score reaches."""
    if math.isinf(value):
        return "none"
    return "undefined" if math.isnan(value) else f"{value:.3f}"


def interval_text(interval: np.ndarray | None) -> str:
    """Both ends of a (2,) interval, "" without one."""
    return "" if interval is None else f"{decimal(interval[0])} to {decimal(interval[1])}"
