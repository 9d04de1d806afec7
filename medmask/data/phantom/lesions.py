"""Malignant lesions: spiculated masses and clusters of microcalcifications.

A lesion is drawn as added attenuation about a centre. What is visible of it bounds its box.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from medmask.data.phantom.grid import Grid
from medmask.data.phantom.texture import power_law_fields

MASS = "mass"
CALCIFICATION_CLUSTER = "calcification_cluster"
LESION_TYPES = (MASS, CALCIFICATION_CLUSTER)

_VISIBLE = 0.15
"""A pixel belongs to the lesion from this fraction of its peak on."""


@dataclass(frozen=True)
class LesionPlan:
    """What both views of a lesion share.

    Attributes:
        lesion_type: "mass" or "calcification_cluster".
        radius: of the mass's core or of the cluster, in millimetres.
        reach: of everything that is drawn, in millimetres.
        count: spicules or specks.
        strength: relative peak density.
    """

    lesion_type: str
    radius: float
    reach: float
    count: int
    strength: float


def draw_lesion_plan(random: np.random.Generator) -> LesionPlan:
    """Draw a malignant lesion."""
    strength = float(random.uniform(0.8, 1.25))
    if random.uniform() < 0.55:
        radius = float(random.uniform(4.0, 8.0))
        return LesionPlan(MASS, radius, 2.0 * radius, int(random.integers(14, 30)), strength)
    radius = float(random.uniform(5.0, 10.0))
    return LesionPlan(
        CALCIFICATION_CLUSTER, radius, radius + 1.5, int(random.integers(6, 21)), strength
    )


def lesion_density(
    plan: LesionPlan, centre: tuple[float, float], grid: Grid, random: np.random.Generator
) -> np.ndarray:
    """Draw one view of a lesion.

    Args:
        plan: the lesion.
        centre: (x, y) in millimetres.
        grid: the pixel grid.
        random: what differs between views.

    Returns:
        (H, W) float32, relative added density, peak about the plan's strength.
    """
    draw = _spiculated_mass if plan.lesion_type == MASS else _calcification_cluster
    return draw(plan, centre, grid, random) * np.float32(plan.strength)


def visible_box(density: np.ndarray) -> tuple[float, float, float, float]:
    """The box (x, y, width, height) in pixels round what is visible of a lesion."""
    visible = density > _VISIBLE * density.max()
    columns = np.flatnonzero(visible.any(axis=0))
    rows = np.flatnonzero(visible.any(axis=1))
    x, y = float(columns[0]), float(rows[0])
    return x, y, float(columns[-1] + 1) - x, float(rows[-1] + 1) - y


def _spiculated_mass(
    plan: LesionPlan, centre: tuple[float, float], grid: Grid, random: np.random.Generator
) -> np.ndarray:
    x, y = grid.coordinates
    dx, dy = x - centre[0], y - centre[1]
    squeeze, tilt = random.uniform(0.75, 1.0), random.uniform(0, np.pi)
    along = dx * np.cos(tilt) + dy * np.sin(tilt)
    across = (dy * np.cos(tilt) - dx * np.sin(tilt)) / squeeze
    angle = np.arctan2(across, along)
    radius = np.ones(grid.shape, np.float32)
    for order in range(2, 8):
        radius += random.normal(0, 0.22 / order) * np.cos(order * angle + random.uniform(0, 7))
    rho = np.hypot(along, across) / (plan.radius * radius)
    texture, _ = power_law_fields(grid.shape, 2.5, random)
    core = np.exp(-(np.maximum(rho + 0.12 * texture, 0) ** 3))

    canvas = np.zeros((2 * grid.height, 2 * grid.width), np.uint8)
    start = random.uniform(0, 2 * np.pi)
    for k in range(plan.count):
        direction = start + 2 * np.pi * (k + random.uniform(-0.4, 0.4)) / plan.count
        length = plan.radius * random.uniform(0.35, 1.0)
        bend = random.normal(0, 0.25)
        at = np.linspace(0, 1, 8)
        turned = direction + bend * at
        reach = plan.radius * 0.6 + at * (length + 0.4 * plan.radius)
        points = np.stack(
            [centre[0] + reach * np.cos(turned), centre[1] + reach * np.sin(turned)], 1
        )
        fixed = np.round((points * (2 / grid.spacing) - 0.5) * 16).astype(np.int32)
        shade = random.uniform(90, 200)
        for i in range(len(points) - 1):
            thickness = max(1, round(2 * grid.pixels(1.3 * (1 - 0.7 * at[i]))))
            cv2.line(
                canvas,
                fixed[i].tolist(),
                fixed[i + 1].tolist(),
                int(shade * (1 - 0.75 * at[i])),
                thickness,
                cv2.LINE_AA,
                4,
            )
    spicules = cv2.resize(canvas, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
    spicules = cv2.GaussianBlur(
        spicules.astype(np.float32) / 255, (0, 0), max(0.4, grid.pixels(0.4))
    )
    return np.maximum(core, 0.8 * spicules).astype(np.float32)


def _calcification_cluster(
    plan: LesionPlan, centre: tuple[float, float], grid: Grid, random: np.random.Generator
) -> np.ndarray:
    x, y = grid.coordinates
    density = np.zeros(grid.shape, np.float32)
    squeeze, tilt = random.uniform(0.5, 1.0), random.uniform(0, np.pi)
    for _ in range(plan.count):
        distance, direction = plan.radius * np.sqrt(random.uniform()), random.uniform(0, 2 * np.pi)
        u, v = distance * np.cos(direction), squeeze * distance * np.sin(direction)
        cx = centre[0] + u * np.cos(tilt) - v * np.sin(tilt)
        cy = centre[1] + u * np.sin(tilt) + v * np.cos(tilt)
        sigma = random.uniform(0.45, 0.8)
        density += random.uniform(0.45, 1.0) * np.exp(
            -((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)
        )
    return density
