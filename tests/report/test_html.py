import pytest

from medmask.report.html import Markup, element, join

WORST = """<script>alert('1')</script>"&amp;"""


def test_text_and_attributes_are_escaped():
    written = element("p", WORST, title=WORST)
    assert "<script" not in written
    assert "&lt;script&gt;" in written
    assert written.count('"') == 2  # those around the attribute
    assert "&amp;amp;" in written


def test_markup_is_kept_and_pieces_follow_each_other():
    inner = element("b", "x")
    assert element("p", [inner, None, 3], "y") == "<p><b>x</b>3y</p>"
    assert isinstance(join([inner]), Markup)
    # what is added to markup is text again
    assert not isinstance(inner + "<", Markup)


@pytest.mark.parametrize(
    ("attributes", "written"),
    [
        ({"class_": "a", "data_sort": 0}, '<p class="a" data-sort="0"></p>'),
        ({"hidden": True, "title": None, "open": False}, "<p hidden></p>"),
    ],
    ids=["words", "flags"],
)
def test_attributes(attributes, written):
    assert element("p", **attributes) == written


def test_elements_without_an_end():
    assert element("img", alt="") == '<img alt="">'
