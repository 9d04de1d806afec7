"""The page in a real browser: nothing fails, pictures load, tables sort, also by keyboard."""

import json

import pytest
from chromium_page import CHROMIUM, Page

from medmask.report import ReportOptions, write_report

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium, chromium-browser or google-chrome here"
)
COLUMN = "[...document.querySelectorAll('.sortable tbody tr')].map(r => r.cells[{}].dataset.sort)"
SHOWN = "[...document.querySelectorAll('.sortable tbody tr')].filter(r => r.offsetHeight > 0)"


@pytest.fixture
def page(make_run, tmp_path):
    path = tmp_path / "page.html"
    write_report([make_run()], path, ReportOptions(gallery=6))
    with Page(path) as opened:
        yield opened
        assert not opened.errors
        assert opened.requests[0].startswith("file:")
        assert all(each.startswith("data:image/") for each in opened.requests[1:])


def numbers(values):
    return [float(value) for value in values if value]


def test_pictures_load_and_rows_sort(page):
    loaded = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
    assert len(loaded) >= 8
    assert all(loaded)

    before = numbers(page.evaluate(COLUMN.format(2)))
    page.evaluate("document.querySelectorAll('.sortable th button')[1].click()")
    rising = page.evaluate(COLUMN.format(2))
    assert numbers(rising) == sorted(before)
    page.evaluate("document.querySelectorAll('.sortable th button')[1].click()")
    falling = page.evaluate(COLUMN.format(2))
    assert numbers(falling) == sorted(before, reverse=True)
    # findings without a score come last either way
    empty = rising.count("")
    assert rising[len(rising) - empty :] == falling[len(falling) - empty :] == [""] * empty


def test_names_that_look_like_numbers_are_names(page):
    names = ["9", "1e1", "10a", "2", ""]
    cells = "[...document.querySelectorAll('.sortable tbody tr')].map(r => r.cells[4])"
    page.evaluate(f"{cells}.forEach((c, i) => c.dataset.sort = {json.dumps(names)}[i] ?? '')")
    page.evaluate("document.querySelectorAll('.sortable th button')[3].click()")
    assert page.evaluate(COLUMN.format(4))[:5] == ["1e1", "2", "9", "10a", ""]


def test_keyboard_sorts_and_filters(page):
    page.evaluate("document.querySelectorAll('.sortable th button')[2].focus()")
    page.press("Tab")  # from the side to the image's name
    assert page.evaluate("document.activeElement.textContent") == "image"
    page.press("Enter")
    names = page.evaluate(COLUMN.format(4))
    assert names == sorted(names)
    state = "document.querySelectorAll('.sortable th')[4].getAttribute('aria-sort')"
    assert page.evaluate(state) == "ascending"

    all_rows = page.evaluate(f"{SHOWN}.length")
    page.evaluate("document.querySelector('.filter input').focus()")
    page.press("ArrowRight")
    kinds = page.evaluate(f"{SHOWN}.map(r => r.dataset.kind)")
    assert set(kinds) == {"hits"}
    assert len(kinds) < all_rows


def test_phone_dark_and_print(page):
    page.resize(390, 844, is_mobile=True)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == 390  # nothing but tables and the menu scrolls sideways
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate(scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.emulate(media="print", scheme="dark")
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_nothing_is_cut_off_on_paper(page):
    page.emulate(media="print")
    page.resize(718, 1000)  # A4 between the browser's margins
    right = "[...document.querySelectorAll('table, td, img')].map(e => e.getBoundingClientRect())"
    places = page.evaluate(f"{right}.map(r => r.right)")
    assert len(places) > 100
    assert max(places) <= 718
    labels = "[...document.querySelectorAll('.sortable td')].filter(e => e.offsetHeight > 0)"
    assert "patient_id" in page.evaluate(f"{labels}.map(e => e.dataset.label || '')")
