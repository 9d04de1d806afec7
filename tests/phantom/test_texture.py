from itertools import pairwise

import numpy as np
import pytest

from medmask.phantom.anatomy import draw_breast_pair, draw_layout
from medmask.phantom.geometry import draw_geometry
from medmask.phantom.grid import Grid
from medmask.phantom.texture import band_pass_fields, power_law_fields, smooth_field
from medmask.phantom.tissue import tissue_attenuation


def radial_slope(patch: np.ndarray, lowest: float, highest: float) -> float:
    """Exponent of the radial power spectrum, by a windowed periodogram and a log-log fit."""
    window = np.outer(*(np.hanning(side) for side in patch.shape))
    power = np.abs(np.fft.fft2((patch - patch.mean()) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in patch.shape), indexing="ij"))
    edges = np.geomspace(lowest, highest, 9)
    rings = [(frequency >= a) & (frequency < b) for a, b in pairwise(edges)]
    x = [np.log(frequency[ring]).mean() for ring in rings if ring.any()]
    y = [np.log(power[ring].mean()) for ring in rings if ring.any()]
    return -np.polyfit(x, y, 1)[0]


@pytest.mark.parametrize("beta", [0.0, 2.0, 3.0])
def test_power_law_field_has_the_wanted_spectrum(beta):
    random = np.random.default_rng(0)
    slopes = [
        radial_slope(field, 4 / 256, 0.35)
        for _ in range(4)
        for field in power_law_fields((256, 200), beta, random)
    ]
    assert np.mean(slopes) == pytest.approx(beta, abs=0.15)


def test_band_pass_field_has_the_wanted_wavelength():
    field, _ = band_pass_fields((256, 256), 16.0, np.random.default_rng(0))
    power = np.abs(np.fft.fft2(field)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    assert (power * frequency).sum() / power.sum() == pytest.approx(1 / 16, rel=0.15)
    assert field.std() == pytest.approx(1, abs=0.1)


def test_the_two_fields_of_a_pair_are_independent():
    random = np.random.default_rng(0)
    pairs = [power_law_fields((128, 128), 1.0, random) for _ in range(8)]
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]
    assert np.abs(correlations).max() < 0.25
    assert abs(np.mean(correlations)) < 0.08


def test_opposite_edges_do_not_match():
    """A field cut from a periodic one without a margin would wrap round."""
    first, _ = power_law_fields((128, 128), 3.0, np.random.default_rng(1))
    step = np.abs(np.diff(first, axis=0)).mean()
    assert np.abs(first[0] - first[-1]).mean() > 5 * step


@pytest.mark.parametrize("shape", [(64, 48), (97, 131), (48, 200)])
def test_smooth_field_fills_any_shape(shape):
    field = smooth_field(shape, 13.7, np.random.default_rng(0))
    assert field.shape == shape
    assert field.std() > 0.2
    assert np.abs(np.diff(field, axis=0)).max() < 0.5


@pytest.mark.parametrize("size", [(256, 192), (512, 384)])
def test_breast_tissue_has_a_mammogram_like_spectrum(size):
    """Mammograms measure 2.5 to 3.5, most of them near 3."""
    grid = Grid.of_image(*size)
    side = size[0] // 4
    slopes = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        breast, _ = draw_breast_pair(random)
        layout = draw_layout(breast, "CC", grid.height_mm, random)
        tissue = tissue_attenuation(draw_geometry(layout, grid), random)
        top = int(grid.pixels(layout.nipple[1])) - side // 2
        left = max(int(grid.pixels(0.5 * layout.nipple[0])) - side // 2, 0)
        slopes.append(radial_slope(tissue[top : top + side, left : left + side], 3 / side, 0.3))
    assert 2.5 < np.mean(slopes) < 3.3
    assert min(slopes) > 2.2
    assert max(slopes) < 3.8
