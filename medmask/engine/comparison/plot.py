"""The differences of runs to their controls as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from medmask.engine.comparison.plan import is_percentage, short_name
from medmask.engine.comparison.summary import ControlComparison, RunSummary
from medmask.evaluation.paired_differences import (
    BETTER,
    NOT_SHOWN,
    STANDARD_ERRORS,
    WORSE,
    PairedDifference,
)
from medmask.evaluation.plot_style import COLORS, INK, PALE_INK, plain_text, style_frame
from medmask.utils.files import atomic_write

_COLORS = {BETTER: COLORS[0], NOT_SHOWN: PALE_INK, WORSE: COLORS[1]}
_PAIRS_BELOW = 0.22  # lines
_LINE_HEIGHT, _FRAME_HEIGHT, _WIDTH = 0.42, 1.5, 10.0  # inches


def plot_differences(
    rows: Sequence[RunSummary], metrics: Sequence[str], min_pairs: int, path: Path
) -> None:
    """Draw each difference to a control into one PNG, whole or not at all.

    Args:
        rows: at least one has a control.
        metrics: of the panels.
        min_pairs: pairs that a verdict other than "not shown" needs.
        path: the file to write.
    """
    figure = draw_differences(rows, metrics, min_pairs)
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def draw_differences(rows: Sequence[RunSummary], metrics: Sequence[str], min_pairs: int) -> Figure:
    """Draw a line for each run and control, in a panel for each metric.

    A line has the mean with the standard errors that a verdict takes on both sides, in the color
    of the verdict, and below it a dot for each pair.
    """
    lines = [(row, each) for row in rows for each in row.comparisons]
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    height = _FRAME_HEIGHT + _LINE_HEIGHT * len(lines)
    figure = Figure(figsize=(_WIDTH, height), dpi=160, layout=layout)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        points = ", points" if is_percentage(metric) else ""
        style_frame(axes, f"{short_name(metric)}: run minus control{points}", grid="x")
        axes.axvline(0, color=INK, linewidth=1)
        for place, (_, comparison) in enumerate(lines):
            _draw_difference(axes, place, comparison.differences[metric], min_pairs)
    panels[0].set_yticks(range(len(lines)), [_name(row, each) for row, each in lines])
    panels[0].set_ylim(len(lines) - 0.5, -0.5)
    _add_legend(figure)
    return figure


def _add_legend(figure: Figure) -> None:
    marks = [Line2D([], [], color=c, marker="o", label=verdict) for verdict, c in _COLORS.items()]
    legend = figure.legend(
        handles=marks,
        loc="outside upper left",
        ncols=len(marks),
        frameon=False,
        fontsize=10,
        labelcolor=INK,
        title=f"mean ± {STANDARD_ERRORS:g} standard errors, and each pair of runs",
        alignment="left",
    )
    legend.get_title().set_color(INK)


def _name(row: RunSummary, comparison: ControlComparison) -> str:
    return plain_text(f"{row.run} – {comparison.control}")


def _draw_difference(axes: Axes, place: int, difference: PairedDifference, min_pairs: int) -> None:
    """Draw a line of a panel; without two pairs there is no standard error, and no bar."""
    color = _COLORS[difference.verdict(min_pairs)]
    below = [place + _PAIRS_BELOW] * difference.num_pairs
    axes.plot(
        difference.differences, below, "o", color=color, markersize=4, alpha=0.45, markeredgewidth=0
    )
    error = STANDARD_ERRORS * difference.standard_error
    axes.plot([difference.mean - error, difference.mean + error], [place] * 2, color=color, lw=2.4)
    axes.plot([difference.mean], [place], "o", color=color, markersize=8, markeredgecolor="white")
