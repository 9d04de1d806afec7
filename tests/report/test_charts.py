import re

import numpy as np

from medmask.report.charts import Axis, Series, draw_chart, unit_axis


def test_a_staircase_keeps_all_its_corners():
    x = np.linspace(0, 1, 2000)
    axis = unit_axis("share")
    chart = draw_chart("a", axis, axis, [Series("steps", x, x**2, is_steps=True)])
    (path,) = re.findall(r'd="([^"]+)" class="line"', chart)
    assert path.count("V") == len(x) - 1


def test_a_long_line_is_thinned_out_but_for_its_ends():
    x = np.linspace(0, 1, 2000)
    axis = unit_axis("share")
    chart = draw_chart("a", axis, axis, [Series("line", x, x)])
    (path,) = re.findall(r'd="([^"]+)" class="line"', chart)
    assert 100 < path.count("L") < 1000
    assert path.startswith("M52.0 254.0")
    assert path.endswith("L408.0 10.0")


def test_marks_tell_small_values():
    axis = Axis("rate", (0.0, 2e-4), (0.0, 2e-4))
    points = np.array([[3, 1.25e-4], [4, 0.0]])
    chart = draw_chart(
        "a", unit_axis("share"), axis, [Series("lr", points[:, 0], points[:, 1], points=points)]
    )
    assert "lr: 0.000125 at 3" in chart
    assert "lr: 0 at 4" in chart
