"""The look of the pictures that show results: colors, frames, and text as it is."""

from typing import Literal

from matplotlib.axes import Axes

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, which color-blind readers can tell apart."""
INK, PALE_INK, GRID = "#333333", "#8C8C8C", "#E4E4E4"


def style_frame(
    axes: Axes, x_label: str, y_label: str = "", grid: Literal["x", "both"] = "both"
) -> None:
    """Give axes their labels, a grid, a line below and little else."""
    axes.set_xlabel(x_label, color=INK, fontsize=10.5, labelpad=7)
    axes.set_ylabel(y_label, color=INK, fontsize=10.5, labelpad=7)
    axes.grid(axis=grid, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9.5, length=0, pad=6)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(INK)


def plain_text(text: str) -> str:
    """Text that matplotlib shows as it is: ``$`` would begin a formula, ``_`` hide a label."""
    text = text.encode(errors="replace").decode().replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
