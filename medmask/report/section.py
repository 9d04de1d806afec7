"""Parts that all sections of a report are made of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medmask.report.html import Content, Markup, element


@dataclass(frozen=True)
class Section:
    """A section of the page, which the menu leads to."""

    title: str
    anchor: str
    content: Markup

    def to_html(self) -> Markup:
        return element("section", element("h2", self.title), self.content, id=self.anchor)


def missing(sentence: str) -> Markup:
    """Say what is not there, and what gives it."""
    return element("p", sentence, class_="missing")


def note(sentence: Content) -> Markup:
    return element("p", sentence, class_="note")


def table(
    header: Sequence[Content], rows: Sequence[Sequence[Content]], *, num_texts: int = 1
) -> Markup:
    """A table; its first columns are text, the others numbers at the right."""
    classes = [None if i < num_texts else "number" for i in range(len(header))]
    head = [
        element("th", cell, class_=kind, scope="col")
        for cell, kind in zip(header, classes, strict=True)
    ]
    body = [
        element(
            "tr",
            [element("td", cell, class_=kind) for cell, kind in zip(row, classes, strict=True)],
        )
        for row in rows
    ]
    whole = element("table", element("thead", element("tr", head)), element("tbody", body))
    return element("div", whole, class_="wide", tabindex=0, role="region", aria_label=_text(header))


def fold(summary: str, *content: Content, is_open: bool = False) -> Markup:
    """Content that a click shows."""
    return element("details", element("summary", summary), content, open=is_open)


def decimal(value: float | None, digits: int = 3) -> str:
    """A number, or a dash for what is undefined."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def interval_text(interval: np.ndarray | None) -> str:
    """Both ends of an interval, "" without one."""
    if interval is None or np.isnan(interval).any():
        return ""
    return f"{interval[0]:.3f} to {interval[1]:.3f}"


def _text(header: Sequence[Content]) -> str:
    return "table of " + ", ".join(str(cell) for cell in header if isinstance(cell, str) and cell)
