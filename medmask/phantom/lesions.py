"""Malignant lesions: spiculated masses and clusters of microcalcifications.

A lesion is drawn as added density about a center, in a window of the image; its box bounds the
visible part. Specks are some three times as large as real microcalcifications, so that they
survive at small image sizes.
"""

from dataclasses import dataclass

import numpy as np

from medmask.phantom.grid import Grid
from medmask.phantom.shapes import ellipse_distance, irregular_radius
from medmask.phantom.strokes import draw_strokes
from medmask.phantom.texture import smooth_field

MASS = "mass"
CALCIFICATION_CLUSTER = "calcification_cluster"

_MASS_FREQUENCY = 0.55
_VISIBLE = 0.22  # a pixel belongs to a lesion from this fraction of its peak on


@dataclass(frozen=True)
class LesionPlan:
    """Measures of a lesion, which its views share; lengths in millimeters.

    Attributes:
        lesion_type: "mass" or "calcification_cluster".
        radius: of the mass's core or of the cluster.
        reach: nothing is drawn farther from the center.
        count: spicules or specks.
        thickness: millimeters of glandular tissue that attenuate as much as the lesion's peak.
    """

    lesion_type: str
    radius: float
    reach: float
    count: int
    thickness: float


def draw_lesion_plan(random: np.random.Generator) -> LesionPlan:
    """Draw a malignant lesion."""
    thickness = random.uniform(15.0, 23.0)
    if random.uniform() < _MASS_FREQUENCY:
        radius = random.uniform(4.0, 8.5)
        spicules = int(random.integers(14, 30))
        return LesionPlan(MASS, radius, 2.0 * radius, spicules, 1.15 * thickness)
    radius = random.uniform(5.0, 10.0)
    count = int(random.integers(6, 21))
    return LesionPlan(CALCIFICATION_CLUSTER, radius, radius + 2.0, count, 1.4 * thickness)


def lesion_density(
    plan: LesionPlan, center: tuple[float, float], window: Grid, random: np.random.Generator
) -> np.ndarray:
    """Draw one view of a lesion.

    Args:
        plan: the lesion.
        center: (x, y) in millimeters.
        window: pixels within the plan's reach of the center.
        random: draws what differs between views.

    Returns:
        (H, W) float32 over the window, added density, peak about 1.
    """
    draw = _spiculated_mass if plan.lesion_type == MASS else _calcification_cluster
    return draw(plan, center, window, random)


def visible_part(density: np.ndarray) -> np.ndarray:
    """Mark the pixels that belong to a lesion: (H, W) bool over its window."""
    return density > _VISIBLE * density.max()


def visible_box(visible: np.ndarray, window: Grid) -> tuple[float, float, float, float]:
    """The box (x, y, width, height), in pixels of the image, around the visible part."""
    columns = np.flatnonzero(visible.any(axis=0))
    rows = np.flatnonzero(visible.any(axis=1))
    return (
        float(window.column + columns[0]),
        float(window.row + rows[0]),
        float(columns[-1] + 1 - columns[0]),
        float(rows[-1] + 1 - rows[0]),
    )


def _spiculated_mass(
    plan: LesionPlan, center: tuple[float, float], window: Grid, random: np.random.Generator
) -> np.ndarray:
    """An irregular core with indistinct margins, and spicules that radiate from it."""
    radius = irregular_radius(center, window, plan.radius, 0.22, random)
    x, y = window.coordinates
    rho = np.hypot(x - center[0], y - center[1]) / radius
    core = np.exp(-(rho**2.5))

    spicules = []
    first = random.uniform(0, 2 * np.pi)
    at = np.linspace(0, 1, 9)
    for k in range(plan.count):
        root = first + 2 * np.pi * (k + random.uniform(-0.4, 0.4)) / plan.count
        angle = root + random.normal(0, 0.3) * at
        distance = plan.radius * (0.5 + at * random.uniform(0.7, 1.45))
        points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * distance[:, None] + center
        shade, width = random.uniform(0.4, 0.8), random.uniform(1.2, 2.0)
        for i in range(len(at) - 1):
            taper = 1 - 0.8 * at[i]
            spicules.append((points[i : i + 2], width * taper, shade * taper))
    mottle = 1 + 0.1 * smooth_field(window.shape, max(window.pixels(2.0), 1.0), random)
    return np.maximum(core, draw_strokes(spicules, window)) * mottle


def _calcification_cluster(
    plan: LesionPlan, center: tuple[float, float], window: Grid, random: np.random.Generator
) -> np.ndarray:
    """Pleomorphic specks, scattered over an ellipse and denser in its middle."""
    squeeze, tilt = random.uniform(0.5, 1.0), random.uniform(0, np.pi)
    density = np.zeros(window.shape, np.float32)
    for _ in range(plan.count):
        distance, angle = plan.radius * random.uniform() ** 0.6, random.uniform(0, 2 * np.pi)
        u, v = distance * np.cos(angle), squeeze * distance * np.sin(angle)
        position = (
            center[0] + u * np.cos(tilt) - v * np.sin(tilt),
            center[1] + u * np.sin(tilt) + v * np.cos(tilt),
        )
        speck = ellipse_distance(
            position, window, random.uniform(0.6, 1.0), random.uniform(0.5, 1.0), random
        )
        density = np.maximum(density, random.uniform(0.45, 1.0) * np.exp(-(speck**3)))
    return density
