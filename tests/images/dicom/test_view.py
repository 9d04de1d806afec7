"""Side and view of the header."""

import pytest

from medmask.images.dicom.view import read_side, to_side


class OneElement:
    """A header whose only element is the one named."""

    def __init__(self, keyword, value):
        self.values = {keyword: value}

    def text(self, keyword):
        return self.values.get(keyword, "")


@pytest.mark.parametrize(
    ("code", "side"),
    [("L", "L"), ("r ", "R"), ("b", "B"), ("U", ""), ("", ""), (None, ""), (["L", "R"], "")],
)
def test_values(code, side):
    assert to_side(code) == side


@pytest.mark.parametrize("keyword", ["ImageLaterality", "Laterality"])
@pytest.mark.parametrize(("code", "side"), [("l", "L"), ("R", "R"), ("B", ""), ("", "")])
def test_one_breast(keyword, code, side):
    assert read_side(OneElement(keyword, code)) == side
