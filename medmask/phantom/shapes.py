"""Outlines of findings: irregular blobs and turned ellipses, in polar coordinates."""

import numpy as np

from medmask.phantom.grid import Grid


def irregular_radius(
    center: tuple[float, float],
    window: Grid,
    radius: float,
    irregularity: float,
    random: np.random.Generator,
) -> np.ndarray:
    """Radius of a blob in the direction of each pixel; its outline is a random Fourier series."""
    x, y = window.coordinates
    angle = np.arctan2(y - center[1], x - center[0])
    series = np.ones(window.shape, np.float32)
    for order in range(2, 8):
        amplitude, phase = random.normal(0, irregularity / order), random.uniform(0, 2 * np.pi)
        series += amplitude * np.cos(order * angle + phase)
    return radius * np.maximum(series, 0.4)


def ellipse_distance(
    center: tuple[float, float],
    window: Grid,
    radius: float,
    squeeze: float,
    random: np.random.Generator,
) -> np.ndarray:
    """Distance of each pixel to a center, 1 on a randomly turned ellipse.

    Args:
        center: (x, y) in millimeters.
        window: the pixels.
        radius: the long half axis in millimeters.
        squeeze: the short half axis relative to the long one.
        random: draws the tilt.
    """
    x, y = window.coordinates
    dx, dy = x - center[0], y - center[1]
    tilt = random.uniform(0, np.pi)
    along = dx * np.cos(tilt) + dy * np.sin(tilt)
    across = dy * np.cos(tilt) - dx * np.sin(tilt)
    return np.hypot(along, across / squeeze) / radius
