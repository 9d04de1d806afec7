"""Optical density of films: what the digitizers of DDSM measured, on one scale.

The four digitizers answer a film of the same blackness with other numbers, one of them with numbers
that fall with the transmitted light, not its logarithm. Shown as they are, its films look black.
The calibration of each is that of the set's authors.
"""

import numpy as np

LOWEST, HIGHEST = 0.05, 3.0
"""Optical densities of the most and the least transparent film that the calibrations hold for."""


def calibrate(values: np.ndarray, volume: str, digitizer: str) -> np.ndarray:
    """Turn the values of a digitizer into optical density.

    Args:
        values: (H, W) uint16.
        volume: the letter A to D that the name of the case begins with.
        digitizer: DBA, HOWTEK or LUMISYS.

    Returns:
        (H, W) float64 in [0.05, 3]; the film is black at the upper end.

    Raises:
        ValueError: films of this volume were not digitized by this digitizer.
    """
    values = values.astype(np.float64)
    match volume, digitizer:
        case "A", "DBA":  # Massachusetts General Hospital
            density = (np.log10(values + 1) - 4.80662) / -1.07553
        case "A", "HOWTEK":
            density = 3.789 - 0.00094568 * values
        case "B" | "C", "LUMISYS":  # Wake Forest University
            density = (values - 4096.99) / -1009.01
        case "D", "HOWTEK":  # Sacred Heart and Washington University
            density = 3.96604095240593 - 0.00099055807612 * values
        case _:
            raise ValueError(f"no film of volume {volume} was digitized by {digitizer}")
    return density.clip(LOWEST, HIGHEST)


def to_gray_levels(density: np.ndarray) -> np.ndarray:
    """Show optical density as a mammogram is shown, tissue bright and the background black.

    Args:
        density: in [0.05, 3].

    Returns:
        uint16 of the same shape: 65535 at density 0.05, 0 at density 3, linear between them.
    """
    return np.rint((HIGHEST - density) / (HIGHEST - LOWEST) * 65535).astype(np.uint16)
