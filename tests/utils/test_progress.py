"""Progress in a pipe and on a terminal."""

import contextlib
import io
import itertools
import re
from pathlib import Path

import pytest

from medmask.utils import progress
from medmask.utils.progress import Progress, with_progress

PACKAGE = Path(__file__).parents[2] / "medmask"


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_nothing_else_draws_bars():
    files = [path for path in PACKAGE.rglob("*.py") if "tqdm" in path.read_text(encoding="utf-8")]
    assert files == [PACKAGE / "utils" / "progress.py"]


def test_short_pass_writes_nothing_into_a_pipe(capsys):
    assert list(with_progress([1, 2], "counting", "number")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_long_pass_writes_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_REPORT_SECONDS", 0.0)
    items = (number for number in range(2))
    assert list(with_progress(items, "counting", "study", "studies", total=2)) == [0, 1]
    lines = ["counting: 1 of 2 studies", "counting: 2 of 2 studies"]
    assert capsys.readouterr() == ("", "".join(f"{line}\n" for line in lines))


def test_bar_on_a_terminal_and_no_lines(monkeypatch):
    monkeypatch.setattr(progress, "_REPORT_SECONDS", 0.0)
    with (
        contextlib.redirect_stderr(Terminal()) as terminal,
        Progress("counting", 30, "number", done_before=10) as counting,
    ):
        counting.advance(20, note="loss 0.5")
    assert re.search(r"counting: 100%.* 30/30 .*, loss 0\.5\]", terminal.getvalue())
    assert "of 30 numbers" not in terminal.getvalue()


def test_what_is_not_shown_is_not_written(monkeypatch):
    monkeypatch.setattr(progress, "_REPORT_SECONDS", 0.0)
    for file in (Terminal(), io.StringIO()):
        with contextlib.redirect_stderr(file):
            assert list(with_progress([1], "counting", "number", show_progress=False)) == [1]
        assert file.getvalue() == ""


def test_line_every_thirty_seconds_with_an_estimate(clock):
    lines = []
    with Progress("counting", 100, "image", report=lines.append, clock=clock) as counting:
        for number in range(20):  # two seconds each
            clock.now += 2
            counting.advance(note="a note" * (number > 15))
    assert lines == ["counting: 15 of 100 images, 0.50 a second, 0:02:50 left"]


@pytest.mark.parametrize("batch", [1, 8])
def test_slow_start_is_no_part_of_the_estimate(clock, batch):
    lines = []
    with Progress("counting", 1000, "image", report=lines.append, clock=clock) as counting:
        clock.now = 260
        for _ in range(3):
            clock.now += 40
            for _ in range(batch):  # which are counted one after the other
                counting.advance()
                clock.now += 0.001
    assert lines[0] == "counting: 1 of 1000 images"  # nothing tells yet
    for number, line in enumerate(lines[1:], 1):
        ended, rate, left = line.split(", ")
        assert ended == f"counting: {1 + number * batch} of 1000 images"
        assert float(rate.removesuffix(" a second")) == pytest.approx(batch / 40, abs=0.006)
        hours, minutes, _ = map(int, left.removesuffix(" left").split(":"))
        expected = (999 - number * batch) * 40 / batch / 60
        assert 60 * hours + minutes == pytest.approx(expected, abs=1)
    assert number == 2


def test_batch_that_is_counted_at_once_tells_the_same(clock):
    lines = []
    with Progress("counting", 1000, "image", report=lines.append, clock=clock) as counting:
        for _ in range(3):
            clock.now += 40
            counting.advance(8)
    assert lines[1] == "counting: 16 of 1000 images, 0.20 a second, 1:22:00 left"


def test_images_of_one_batch_tell_no_rate(clock):
    lines = []
    with Progress("counting", 8, "image", report=lines.append, clock=clock) as counting:
        clock.now = 29.9
        for _ in range(8):
            clock.now += 0.05
            counting.advance()
    assert lines == ["counting: 2 of 8 images"]


def test_abandoned_pass_ends_its_bar():
    with contextlib.redirect_stderr(Terminal()) as terminal:
        items = with_progress(itertools.count(), "counting", "number", total=9)
        assert next(items) == 0
        items.close()
    assert terminal.getvalue().endswith("\n")
