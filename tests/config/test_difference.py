"""The settings that a resumed run may change are told where its user looks for them."""

import re
from pathlib import Path

from medmask.commands import train
from medmask.config.difference import MAY_CHANGE

KEY = re.compile(r"(?:\b(?:train|dataloader|loss_hooks)|\*)(?:\.(?:\w+|\*))+")
PATTERNS = {key for key in MAY_CHANGE if key != "dataloader.evaluator"}  # as one with .*


def test_help_lists_them():
    epilog = train.make_parser().epilog
    start = epilog.index("With --resume these settings may change")
    assert set(KEY.findall(epilog[start : epilog.index("\n\n", start)])) == PATTERNS


def test_troubleshooting_lists_them():
    page = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text()
    (table,) = re.findall(r"^\| what \| keys that may change \|\n(.+?)\n\n", page, re.M | re.S)
    assert set(KEY.findall(table)) == PATTERNS
