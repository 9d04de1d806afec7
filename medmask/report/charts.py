"""Line charts as SVG, in the colors of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmask.report.html import Markup, element

_WIDTH, _HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 46
NUM_COLORS = 6
"""Series beyond them take the colors from the first on again, with dashes."""
_MOST_POINTS = 600


@dataclass(frozen=True)
class Axis:
    """One axis of a chart; ``ticks`` lie within ``limits``, which are positive if ``is_log``."""

    label: str
    limits: tuple[float, float]
    ticks: tuple[float, ...]
    is_log: bool = False

    def place(self, values: np.ndarray) -> np.ndarray:
        """Places of values: 0 at the lower limit, 1 at the upper; NaN stays NaN."""
        low, high = self.limits
        if self.is_log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values, low, high = np.log(values), math.log(low), math.log(high)
        return (values - low) / (high - low)


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        label: in the legend.
        x: (N,) rising values.
        y: (N,) values; the line has a gap where one is NaN.
        is_steps: True if a value holds until the next x.
        band: (B,) x, (B,) lower and (B,) upper ends of an interval, or None.
        points: (P, 2) values to mark with a dot, or None.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    is_steps: bool = False
    band: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    points: np.ndarray | None = None


def linear_axis(label: str, values: np.ndarray, *, from_zero: bool = False) -> Axis:
    """Choose limits and about five round ticks for values; NaN and infinite ones do not count."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if from_zero:
        low = min(low, 0.0)
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(step * number for number in range(first, last + 1))
    return Axis(label, (ticks[0], ticks[-1]), ticks)


def unit_axis(label: str) -> Axis:
    """An axis from 0 to 1."""
    return Axis(label, (0.0, 1.0), (0.0, 0.2, 0.4, 0.6, 0.8, 1.0))


def draw_chart(
    title: str,
    x_axis: Axis,
    y_axis: Axis,
    series: Sequence[Series],
    *,
    note: str = "",
    has_diagonal: bool = False,
) -> Markup:
    """Draw a chart with its title, its legend and a note below.

    Args:
        title: what it shows.
        x_axis: horizontal.
        y_axis: vertical.
        series: lines, the main one last drawn, on top.
        note: a sentence on how to read it.
        has_diagonal: True for a thin line from corner to corner.
    """
    drawn = _axes(x_axis, y_axis)
    if has_diagonal:
        right, top, bottom = _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
        drawn.append(element("path", d=f"M{_LEFT} {bottom}L{right} {top}", class_="diagonal"))
    drawn += [
        element("g", _lines(each, x_axis, y_axis), class_=series_class(index))
        for index, each in reversed(list(enumerate(series)))
    ]
    picture = element(
        "svg",
        element("title", f"{title}: {y_axis.label} over {x_axis.label}"),
        drawn,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
    )
    legend = element(
        "ul",
        [element("li", each.label, class_=series_class(i)) for i, each in enumerate(series)],
        class_="legend",
    )
    return element(
        "figure",
        element("figcaption", element("strong", title), legend),
        picture,
        element("p", note, class_="note") if note else None,
        class_="chart",
    )


def series_class(index: int) -> str:
    """Classes that give a series its color and, beyond the colors, its dashes."""
    return f"series s{index % NUM_COLORS}" + (" dashed" if index >= NUM_COLORS else "")


def _axes(x_axis: Axis, y_axis: Axis) -> list[Markup]:
    left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    parts = []
    for tick, (x, _) in zip(x_axis.ticks, _pixels(x_axis, y_axis, x=x_axis.ticks), strict=True):
        parts.append(element("path", d=f"M{x:.1f} {top}V{bottom}", class_="grid"))
        parts.append(_text(x, bottom + 17, _number(tick), anchor="middle"))
    for tick, (_, y) in zip(y_axis.ticks, _pixels(x_axis, y_axis, y=y_axis.ticks), strict=True):
        parts.append(element("path", d=f"M{left} {y:.1f}H{right}", class_="grid"))
        parts.append(_text(left - 7, y + 4, _number(tick), anchor="end"))
    parts.append(element("path", d=f"M{left} {bottom}H{right}", class_="axis"))
    parts.append(_text((left + right) / 2, _HEIGHT - 8, x_axis.label, anchor="middle"))
    middle = (top + bottom) / 2
    parts.append(
        element(
            "text",
            y_axis.label,
            transform=f"translate(13 {middle:g}) rotate(-90)",
            text_anchor="middle",
        )
    )
    return parts


def _lines(series: Series, x_axis: Axis, y_axis: Axis) -> list[Markup]:
    parts = []
    if series.band is not None:
        x, lower, upper = series.band
        is_drawn = np.isfinite(lower) & np.isfinite(upper)
        edge = np.concatenate([x[is_drawn], x[is_drawn][::-1]])
        height = np.concatenate([lower[is_drawn], upper[is_drawn][::-1]])
        if len(edge):
            path = _path(_pixels(x_axis, y_axis, x=edge, y=height), is_steps=False)
            parts.append(element("path", d=f"{path}Z", class_="band"))
    # of a staircase each corner counts
    chosen = slice(None) if series.is_steps else _thin_out(len(series.x))
    line = _pixels(x_axis, y_axis, x=series.x[chosen], y=series.y[chosen])
    path = _path(line, is_steps=series.is_steps)
    parts.append(element("path", d=path, class_="line") if path else Markup())
    marks = np.empty((0, 2)) if series.points is None else series.points
    form = ".3f" if y_axis.limits[1] > 0.1 else ".3g"  # learning rates are small
    for (x, y), mark in zip(
        _pixels(x_axis, y_axis, x=marks[:, 0], y=marks[:, 1]), marks, strict=True
    ):
        if np.isfinite([x, y]).all():
            told = element("title", f"{series.label}: {mark[1]:{form}} at {mark[0]:g}")
            parts.append(element("circle", told, cx=f"{x:.1f}", cy=f"{y:.1f}", r=3.5))
    return parts


def _thin_out(count: int) -> np.ndarray:
    """Indices of at most as many points as a chart can show, evenly chosen, with both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_POINTS)).astype(np.int64))


def _pixels(
    x_axis: Axis,
    y_axis: Axis,
    *,
    x: Sequence[float] | np.ndarray | None = None,
    y: Sequence[float] | np.ndarray | None = None,
) -> np.ndarray:
    """(N, 2) places in the picture; beyond an axis they lie on its end."""
    count = len(x if x is not None else y if y is not None else ())
    right, down = np.zeros(count), np.zeros(count)
    if x is not None:
        right = np.clip(x_axis.place(np.asarray(x, dtype=np.float64)), 0, 1)
    if y is not None:
        down = 1 - np.clip(y_axis.place(np.asarray(y, dtype=np.float64)), 0, 1)
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    return np.stack([_LEFT + width * right, _TOP + height * down], axis=1)


def _path(places: np.ndarray, *, is_steps: bool) -> str:
    """Path data with a new beginning after each gap."""
    words, is_open = [], False
    for x, y in places:
        if not np.isfinite([x, y]).all():
            is_open = False
            continue
        if not is_open:
            words.append(f"M{x:.1f} {y:.1f}")
        else:
            words.append(f"H{x:.1f}V{y:.1f}" if is_steps else f"L{x:.1f} {y:.1f}")
        is_open = True
    return "".join(words)


def _text(x: float, y: float, text: str, *, anchor: str) -> Markup:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor)


def _number(value: float) -> str:
    return f"{0.0 if abs(value) < 1e-12 else value:.6g}"
