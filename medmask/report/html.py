"""HTML in which every text is escaped, whoever wrote it."""

import html
from collections.abc import Iterable
from typing import TypeAlias

_WITHOUT_END = frozenset({"br", "img", "input", "meta"})


class Markup(str):
    """A piece of finished HTML; any other string is text."""

    __slots__ = ()


Content: TypeAlias = "str | int | float | Iterable[Content] | None"
"""Markup stays as it is, text is escaped, None is nothing, of several each follows the other"""


def element(
    name: str, /, *content: Content, **attributes: str | int | float | bool | None
) -> Markup:
    """Write an element.

    Args:
        name: of the tag.
        content: between its tags.
        attributes: ``class_`` and ``for_`` stand for the words that Python keeps to itself, other
            underscores for hyphens. True stands for an attribute without a value; None and False
            leave it out.
    """
    written = "".join(
        _attribute(key, value)
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _WITHOUT_END:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


def join(content: Content) -> Markup:
    """Write pieces one after the other, escaping those that are text."""
    if content is None:
        return Markup()
    if isinstance(content, Markup):
        return content
    if isinstance(content, str | int | float):
        return Markup(html.escape(str(content)))
    return Markup("".join(map(join, content)))


def _attribute(key: str, value: str | int | float | bool | None) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'
