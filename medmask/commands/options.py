"""Kinds of values that command-line options take."""

import argparse
from pathlib import Path


def number_or_none(text: str) -> float | None:
    """Read a number, or ``none``, which switches off what the option is about."""
    if text.lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor 'none'") from None


def folder(text: str) -> Path:
    """Read the path of a folder; an empty one, such as of an unset variable, is a mistake."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)
