"""Kinds of values that command-line options take."""

import argparse


def number_or_none(text: str) -> float | None:
    """Read a number, or ``none``, which switches off what the option is about."""
    if text.lower() == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor 'none'") from None
