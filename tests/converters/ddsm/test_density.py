import math

import numpy as np
import pytest

from medmask.converters.ddsm.density import (
    CALIBRATIONS,
    HIGHEST,
    LOWEST,
    to_density,
    to_gray_levels,
)


@pytest.mark.parametrize(
    ("volume", "digitizer", "value", "density"),
    [
        ("A", "DBA", 999, (math.log10(1000) - 4.80662) / -1.07553),
        ("A", "HOWTEK", 2000, -0.00094568 * 2000 + 3.789),
        ("B", "LUMISYS", 3000, (3000 - 4096.99) / -1009.01),
        ("C", "LUMISYS", 3000, (3000 - 4096.99) / -1009.01),
        ("D", "HOWTEK", 2000, -0.00099055807612 * 2000 + 3.96604),
    ],
)
def test_calibration(volume, digitizer, value, density):
    values = np.array([[0, value, 65535]], np.uint16)
    darkest, measured, brightest = to_density(values, volume, digitizer)[0]
    assert measured == pytest.approx(density, abs=1e-5)
    assert (darkest, brightest) == (HIGHEST, LOWEST)


def test_gray_levels():
    density = np.array([HIGHEST, (HIGHEST + LOWEST) / 2, LOWEST])
    assert to_gray_levels(density).tolist() == [0, 32768, 65535]


def test_gray_levels_of_all_values_rise_with_them():
    """Tissue comes out bright from all digitizers."""
    values = np.arange(4096, dtype=np.uint16)[None]
    for volume, digitizer in CALIBRATIONS:
        levels = to_gray_levels(to_density(values, volume, digitizer))[0].astype(int)
        assert (np.diff(levels) >= 0).all()
        assert levels[0] < levels[-1]
