"""The picture of a comparison's differences, from results that are given."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from medmask.engine.comparison import RunResult, write_tables
from medmask.engine.comparison.plan import Comparison, Run
from medmask.engine.comparison.plot import draw_differences
from medmask.engine.comparison.summary import summarize
from medmask.evaluation.plot_style import COLORS, PALE_INK

R, CPM = "froc/R@0.3", "froc/CPM"
BETTER, WORSE = COLORS[:2]


def plan(*controlled):
    runs = [Run(name, "some.py", controls=("control",)) for name in controlled]
    return Comparison("some_test", R, (CPM,), (Run("control", "some.py"), *runs))


def results(**values):
    """Results of runs from their R@0.3 by seed; CPM is the negative of it."""
    return {
        name: {s: RunResult({R: x, CPM: -x}, minutes=1.0) for s, x in enumerate(of_run)}
        for name, of_run in values.items()
    }


def draw(comparison, found, min_pairs=3):
    return draw_differences(summarize(comparison, found), comparison.metrics, min_pairs).axes


def lines(axes):
    """(x values, y values, color) of what is drawn in a panel beside the line of 0."""
    _, *drawn = axes.get_lines()
    return [(list(x.get_xdata()), list(x.get_ydata()), to_hex(x.get_color())) for x in drawn]


def test_each_panel_has_mean_errors_and_pairs_in_the_color_of_the_verdict():
    found = results(control=[1.0, 2, 3], taught=[11.0, 13, 15])
    left, right = draw(plan("taught"), found)
    error = 2 / np.sqrt(3)  # two standard errors of 10, 11 and 12, whose deviation is 1
    pairs, bar, mean = lines(left)
    assert pairs[0] == [10, 11, 12]
    assert bar[0] == pytest.approx([11 - error, 11 + error])
    assert mean[:2] == ([11], [0])
    assert {pairs[2], bar[2], mean[2]} == {BETTER.lower()}
    assert lines(right)[2] == ([-11], [0], WORSE.lower())
    assert left.get_xlabel().startswith("R@0.3")
    assert [text.get_text() for text in left.get_yticklabels()] == ["taught – control"]


def test_what_is_not_shown_is_gray():
    found = results(control=[1.0, 2, 3], taught=[11.0, 13, 15])
    assert {color for *_, color in lines(draw(plan("taught"), found, min_pairs=4)[0])} == {
        PALE_INK.lower()
    }


def test_lines_stand_in_the_order_of_the_plan():
    found = results(control=[1.0, 2, 3], _second=[1.0, 2, 3], first=[5.0, 5, 5])
    left, _ = draw(plan("first", "_second"), found)
    names = [text.get_text().strip() for text in left.get_yticklabels()]
    assert names == ["first – control", "_second – control"]
    top, bottom = left.get_ylim()[::-1]
    assert top < 0 < 1 < bottom


@pytest.mark.parametrize("taught", [[5.0], [5.0, 6, 7]])
def test_the_tables_bring_a_picture(taught, tmp_path):
    write_tables(plan("taught"), results(control=[1.0], taught=taught), tmp_path)
    with Image.open(tmp_path / "benchmark.png") as picture:
        assert picture.format == "PNG"
        assert np.asarray(picture.convert("L")).min() < 128


def test_without_a_difference_there_is_no_picture(tmp_path):
    write_tables(plan("taught"), results(control=[1.0], taught=[]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmark.json", "benchmark.md"]
