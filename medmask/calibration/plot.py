"""Reliability diagrams as a picture."""

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from medmask.calibration.reliability import Reliability
from medmask.calibration.results import Calibration
from medmask.evaluation.plot_style import COLORS, INK, style_frame
from medmask.utils.files import atomic_write

_CALIBRATED, _AS_THEY_ARE = COLORS[:2]


def plot_calibration(calibration: Calibration, path: str | os.PathLike) -> None:
    """Draw the reliability of detections and of images into one PNG, whole or not at all.

    The share of lesions in each bin over the mean probability, out of fold, with 95% intervals;
    the scores as they are beside it; the diagonal is where both agree.

    Args:
        calibration: to draw.
        path: the file to write.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(9.6, 6.0), dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    panels = (
        ("Detections: on a lesion", calibration.detections),
        ("Images: with a lesion", calibration.images),
    )
    for axes, (title, part) in zip(figure.subplots(1, 2), panels, strict=True):
        _style_axes(axes)
        _draw(axes, part.reliability_of_scores, "scores as they are", _AS_THEY_ARE)
        if part.reliability is not None:
            label = f"{part.calibrator.name} calibration, out of fold"
            _draw(axes, part.reliability, label, _CALIBRATED)
        # Above the axes, where no point can run into it.
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.01),
            frameon=False,
            fontsize=9,
            labelcolor=INK,
            title=title,
            title_fontproperties={"size": 11, "weight": "bold"},
            alignment="left",
        )
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def _style_axes(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_aspect("equal")
    style_frame(axes, "Probability", "Observed share")
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":")


def _draw(axes: Axes, reliability: Reliability, label: str, color: str) -> None:
    """The bins as points, their intervals as bars."""
    label += f"\ncalibration error {reliability.ece:.3f}"
    if reliability.ece_interval is not None:
        low, high = reliability.ece_interval
        label += f" ({low:.3f} to {high:.3f})"
    x, y = reliability.probabilities, reliability.observed
    if reliability.observed_intervals is not None:
        axes.vlines(x, *reliability.observed_intervals.T, color=color, alpha=0.45, linewidth=1.6)
    axes.plot(x, y, "o-", color=color, label=label, markersize=5, linewidth=1.2, clip_on=False)
