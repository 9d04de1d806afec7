"""Optical density of films: what the digitizers of DDSM measured, on one scale.

The digitizers answer a film of the same blackness with different numbers, and those of one of them
are proportional to the transmitted light, not to its logarithm: shown as they are, its films look
black. The calibration of each is that of the set's authors.
"""

from collections.abc import Callable

import numpy as np

LOWEST, HIGHEST = 0.05, 3.0
"""Optical densities of the most and the least transparent film that is told apart."""


def _massachusetts_dba(values: np.ndarray) -> np.ndarray:
    return (np.log10(values + 1) - 4.80662) / -1.07553


def _massachusetts_howtek(values: np.ndarray) -> np.ndarray:
    return 3.789 - 0.00094568 * values


def _wake_forest_lumisys(values: np.ndarray) -> np.ndarray:
    return (values - 4096.99) / -1009.01


def _sacred_heart_howtek(values: np.ndarray) -> np.ndarray:
    return 3.96604095240593 - 0.00099055807612 * values


CALIBRATIONS: dict[tuple[str, str], Callable[[np.ndarray], np.ndarray]] = {
    ("A", "DBA"): _massachusetts_dba,
    ("A", "HOWTEK"): _massachusetts_howtek,
    ("B", "LUMISYS"): _wake_forest_lumisys,
    ("C", "LUMISYS"): _wake_forest_lumisys,
    ("D", "HOWTEK"): _sacred_heart_howtek,
}
"""Optical density from values, by the letter that names of cases begin with, and the digitizer."""


def to_density(values: np.ndarray, volume: str, digitizer: str) -> np.ndarray:
    """Turn the values of a digitizer into optical density.

    Args:
        values: (H, W) uint16.
        volume: the letter A to D that the name of the case begins with.
        digitizer: DBA, HOWTEK or LUMISYS; with the volume one of :data:`CALIBRATIONS`.

    Returns:
        (H, W) float64 in [0.05, 3]; the film is black at the upper end.
    """
    calibrate = CALIBRATIONS[volume, digitizer]
    return calibrate(values.astype(np.float64)).clip(LOWEST, HIGHEST)


def to_gray_levels(density: np.ndarray) -> np.ndarray:
    """Show optical density as a mammogram is shown, tissue bright and the background black.

    Args:
        density: in [0.05, 3].

    Returns:
        uint16 of the same shape: 65535 at density 0.05, 0 at density 3, linear between them.
    """
    return np.rint((HIGHEST - density) / (HIGHEST - LOWEST) * 65535).astype(np.uint16)
