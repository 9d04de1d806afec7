"""Texts come out of the command line's grammar as they went in."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from medmask.utils.overrides import as_override, as_value

PARSER = OverridesParser.create()
TEXTS = (
    "output/run",
    "../a-b+c_d.pth",
    "a b",
    " a ",
    "Läsionen/病変",
    "a,b",
    "k=v",
    "(1) [2] {3}",
    "it's",
    '"quoted"',
    "\\",
    "a\\",
    "\\'",
    "a\\'b\\\\'",
    "#;&!~:?*@%$",
    "7",
    "1e5",
    "null",
    "True",
    "",
)


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_what_it_is(text):
    assert PARSER.parse_override(as_override("a.b", text)).value() == text
    assert PARSER.parse_override(f"a.b=[{as_value(text)},x]").value() == [text, "x"]


def test_plain_text_needs_no_quotes():
    assert as_override("train.output_dir", "output/a_b-1.5") == "train.output_dir=output/a_b-1.5"
