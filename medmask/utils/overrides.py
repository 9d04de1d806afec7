"""Settings as a command line gives them: ``key=value`` in the grammar of Hydra."""

import re

_PLAIN = re.compile(r"[A-Za-z_./][\w./+-]*", re.ASCII)
_BEFORE_QUOTE = re.compile(r"(\\*)('|$)")
_WORDS = ("false", "inf", "nan", "null", "true")
"""Read as another value than a text."""


def as_override(key: str, text: str) -> str:
    """``key=text``, in quotes where the grammar would read the text otherwise or not at all."""
    return f"{key}={as_value(text)}"


def as_value(text: str) -> str:
    """A text as a value, or a part of one, in quotes where it needs them."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return f"'{_BEFORE_QUOTE.sub(_escape, text)}'"


def _escape(match: re.Match) -> str:
    return 2 * match[1] + ("\\'" if match[2] else "")
