import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from medmask.evaluation import EvaluationSettings, evaluate_detections, plot_froc

BLUE, ORANGE = "#0072B2", "#D55E00"
BOX = (0, 0, 40, 40)
ASIDE = (100, 100, 140, 140)


def rows_of_color(path, color) -> np.ndarray:
    """Rows of the picture, from the bottom, in which the color appears in its right half."""
    pixels = np.asarray(Image.open(path).convert("RGB"), dtype=int)
    same = np.abs(pixels - np.round(np.array(to_rgb(color)) * 255).astype(int)).max(axis=2) <= 2
    return len(pixels) - np.flatnonzero(same[:, same.shape[1] // 2 :].any(axis=1))


@pytest.fixture
def results(build_case):
    """A detector that finds both of two lesions, and one that finds one of them."""
    lesions = [(0, 0, *BOX), (1, 0, *BOX)]
    found = [(0, 0, *BOX, 0.9), (1, 0, *BOX, 0.8), (1, 0, *ASIDE, 0.7)]
    settings = EvaluationSettings(bootstrap=50)
    return [
        evaluate_detections(*build_case(2, lesions, detections), settings)
        for detections in (found, found[:1])
    ]


def test_draws_each_curve_at_its_height(results, tmp_path):
    plot_froc([("good", results[0]), ("bad", results[1])], tmp_path / "froc.png", title="Two")
    good, bad = (rows_of_color(tmp_path / "froc.png", color) for color in (BLUE, ORANGE))
    # The curves end at sensitivities 1 and 0.5; the axis starts some 80 pixels above the border.
    assert good.min() > bad.min()
    assert (good.min() - 80) / (bad.min() - 80) == pytest.approx(2, rel=0.15)


def test_one_curve_uses_the_first_color_only(results, tmp_path):
    plot_froc([("good", results[0])], tmp_path / "froc.png")
    assert len(rows_of_color(tmp_path / "froc.png", BLUE))
    assert not len(rows_of_color(tmp_path / "froc.png", ORANGE))


@pytest.mark.parametrize("bootstrap", [0, 10])
def test_a_set_without_lesions_and_a_rate_of_zero_can_be_drawn(build_case, tmp_path, bootstrap):
    settings = EvaluationSettings(operating_points=(0,), bootstrap=bootstrap)
    result = evaluate_detections(*build_case(1, [], [(0, 0, *BOX, 0.5)]), settings)
    plot_froc([("none", result)], tmp_path / "froc.png")
    assert not len(rows_of_color(tmp_path / "froc.png", BLUE))
