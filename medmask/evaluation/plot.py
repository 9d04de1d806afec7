"""FROC curves as a picture."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, NullLocator

from medmask.evaluation.plot_style import COLORS, INK, plain_text, style_frame
from medmask.evaluation.results import FrocResult
from medmask.utils.files import atomic_write

_RATE_NAMED_IN_LEGEND = 0.3


def plot_froc(
    curves: Sequence[tuple[str, FrocResult]], path: str | os.PathLike, title: str | None = None
) -> None:
    """Draw FROC curves into one PNG, whole or not at all.

    Each curve is the exact staircase over a logarithmic axis of false positives per image, with its
    95% band and its operating points. Beyond a curve's last false positive, where no lower
    threshold finds more, it continues as a dotted line.

    Args:
        curves: (label, result) pairs, the main one first.
        path: the file to write.
        title: above the axes.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(7.2, 4.8), dpi=160, layout=layout)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = sorted({p for _, result in curves for p in result.settings.positive_rates()})
    limits = (points[0] / 1.4, points[-1] * 1.4)
    _style_axes(axes, points, limits)
    for index, (label, result) in enumerate(curves):
        _draw_curve(axes, plain_text(label), result, COLORS[index % len(COLORS)], limits)
    # Above the axes, where no curve can run into it.
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        borderaxespad=0,
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        handlelength=1.4,
    )
    if title:
        figure.suptitle(
            plain_text(title), x=0.02, ha="left", color=INK, fontsize=13, fontweight="bold"
        )
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _style_axes(axes: Axes, ticks: Sequence[float], limits: tuple[float, float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(limits)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:g}" for tick in ticks])
    axes.set_ylim(0, 1.01)
    axes.set_yticks(np.linspace(0, 1, 6))
    style_frame(axes, "False positives per image", "Lesion sensitivity")


def _draw_curve(
    axes: Axes, label: str, result: FrocResult, color: str, limits: tuple[float, float]
) -> None:
    fpi, sensitivity = result.curve.fpi, result.curve.sensitivity
    left = np.searchsorted(fpi, limits[0], side="right") - 1
    x = np.concatenate([[limits[0]], fpi[left + 1 :]])
    y = sensitivity[left:]
    axes.step(x, y, where="post", color=color, linewidth=2, label=_legend(label, result))
    if x[-1] < limits[1]:
        axes.plot([x[-1], limits[1]], [y[-1]] * 2, color=color, linewidth=1.4, linestyle=":")
    if result.band is not None:
        band = result.band
        axes.fill_between(band.fpi, band.lower, band.upper, color=color, alpha=0.14, linewidth=0)
    points = np.array(result.settings.operating_points)
    axes.plot(
        points[points > 0],
        result.sensitivity[points > 0],
        "o",
        color=color,
        markersize=6.5,
        markeredgecolor="white",
        markeredgewidth=1.3,
        clip_on=False,
        zorder=3,
    )


def _legend(label: str, result: FrocResult) -> str:
    """The label with the sensitivity at 0.3 false positives per image, if that was asked for."""
    if result.counts.lesions == 0:
        return f"{label}   (no lesions: sensitivity undefined)"
    if _RATE_NAMED_IN_LEGEND not in result.settings.operating_points:
        return label
    index = result.settings.operating_points.index(_RATE_NAMED_IN_LEGEND)
    text = f"{label}   R@{_RATE_NAMED_IN_LEGEND:g} = {result.sensitivity[index]:.3f}"
    if result.intervals is not None:
        text += f" ({result.intervals[index, 0]:.3f} to {result.intervals[index, 1]:.3f})"
    return text
