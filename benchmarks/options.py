"""Options that all benchmarks have, and the file of their figures."""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from medmask.utils.files import atomic_write


def make_parser(description: str, examples: str) -> argparse.ArgumentParser:
    """A parser with ``--repeats`` and ``--json``.

    Args:
        description: what is measured and how; printed as it is.
        examples: command lines, one a line.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--repeats", type=positive, default=7, metavar="R", help="turns that count (default 7)"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to OUT too")
    return parser


def positive(text: str) -> int:
    """Parse a whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, but is {text}")
    return int(text)


def image_size(text: str) -> tuple[int, int]:
    """Parse a height and a width in pixels, such as 800x1333."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not HxW in pixels, such as 800x1333")
    return int(match[1]), int(match[2])


def write_figures(path: Path | None, content: dict[str, Any]) -> None:
    """Write what was measured as JSON, if the user named a file."""
    if path is not None:
        with atomic_write(path, "w") as file:
            json.dump(content, file, indent=1)
