"""Benign look-alikes, which are not annotated: a detector must learn to pass over them."""

from dataclasses import dataclass

import numpy as np

from medmask.phantom.grid import Grid
from medmask.phantom.shapes import ellipse_distance, irregular_radius
from medmask.phantom.strokes import draw_strokes, wandering_path

SMOOTH_MASS = "smooth_mass"
SINGLE_CALCIFICATION = "single_calcification"
VASCULAR_CALCIFICATION = "vascular_calcification"
LYMPH_NODE = "lymph_node"


@dataclass(frozen=True)
class BenignPlan:
    """Measures of a benign finding, which its views share; lengths in millimeters.

    Attributes:
        kind: one of the names above.
        radius: half of its extent.
        thickness: millimeters of glandular tissue that attenuate as much as the finding's peak.
    """

    kind: str
    radius: float
    thickness: float

    @property
    def reach(self) -> float:
        """Nothing is drawn farther from the center."""
        return 1.3 * self.radius + 1.0

    @property
    def in_axilla(self) -> bool:
        """True if only the MLO view shows it, high beside the pectoral muscle."""
        return self.kind == LYMPH_NODE


def draw_benign_plans(random: np.random.Generator) -> list[BenignPlan]:
    """Draw the benign findings of one breast; often there is none."""
    plans = []
    for _ in range(random.choice(3, p=(0.62, 0.3, 0.08))):
        plans.append(BenignPlan(SMOOTH_MASS, random.uniform(3.5, 9.0), random.uniform(8.0, 16.0)))
    for _ in range(random.choice(4, p=(0.6, 0.2, 0.12, 0.08))):
        radius, thickness = random.uniform(0.8, 1.6), random.uniform(18.0, 30.0)
        plans.append(BenignPlan(SINGLE_CALCIFICATION, radius, thickness))
    if random.uniform() < 0.08:
        plans.append(BenignPlan(VASCULAR_CALCIFICATION, random.uniform(10, 20), 16.0))
    if random.uniform() < 0.35:
        plans.append(BenignPlan(LYMPH_NODE, random.uniform(4.0, 8.0), random.uniform(8.0, 13.0)))
    return plans


def benign_density(
    plan: BenignPlan, center: tuple[float, float], window: Grid, random: np.random.Generator
) -> np.ndarray:
    """Draw one view of a benign finding.

    Args:
        plan: the finding.
        center: (x, y) in millimeters.
        window: pixels within the plan's reach of the center.
        random: draws what differs between views.

    Returns:
        (H, W) float32 over the window, added density, peak about 1.
    """
    return _DRAW[plan.kind](plan, center, window, random)


def _smooth_mass(
    plan: BenignPlan, center: tuple[float, float], window: Grid, random: np.random.Generator
) -> np.ndarray:
    """A cyst or fibroadenoma: oval, now and then lobulated, with a sharp margin."""
    squeeze = random.uniform(0.7, 1.0)
    rho = ellipse_distance(center, window, 1.0, squeeze, random)
    rho = rho / irregular_radius(center, window, plan.radius, 0.08, random)
    ball = np.sqrt(np.clip(1 - rho * rho, 0, 1))
    edge = 1 / (1 + np.exp(np.clip((rho - 1) * plan.radius / 0.35, -30, 30)))
    return 0.5 * edge + 0.5 * ball


def _single_calcification(
    plan: BenignPlan, center: tuple[float, float], window: Grid, random: np.random.Generator
) -> np.ndarray:
    """A round, dense calcification with a smooth margin."""
    rho = ellipse_distance(center, window, plan.radius, random.uniform(0.75, 1.0), random)
    return np.exp(-(rho**4))


def _vascular_calcification(
    plan: BenignPlan, center: tuple[float, float], window: Grid, random: np.random.Generator
) -> np.ndarray:
    """Two parallel, broken lines along the walls of an artery."""
    angle = random.uniform(0, 2 * np.pi)
    direction = np.array([np.cos(angle), np.sin(angle)])
    middle = np.asarray(center)
    start, end = middle - plan.radius * direction, middle + plan.radius * direction
    path = wandering_path(start, end, 0.05, random)
    across = 1.1 * direction[::-1] * (-1, 1)
    dashes = []
    for wall in (-1, 1):
        for i in range(len(path) - 2):
            if random.uniform() < 0.45:
                points = path[i : i + 3] + wall * across
                dashes.append((points, 0.7, random.uniform(0.4, 1.0)))
    return draw_strokes(dashes, window)


def _lymph_node(
    plan: BenignPlan, center: tuple[float, float], window: Grid, random: np.random.Generator
) -> np.ndarray:
    """A bean with a lucent, fatty hilum at one side."""
    body = ellipse_distance(center, window, plan.radius, random.uniform(0.55, 0.75), random)
    angle = random.uniform(0, 2 * np.pi)
    hilum_center = (
        center[0] + 0.4 * plan.radius * np.cos(angle),
        center[1] + 0.4 * plan.radius * np.sin(angle),
    )
    hilum = ellipse_distance(hilum_center, window, 0.45 * plan.radius, 0.8, random)
    margin = np.clip((body - 1) * plan.radius / 0.4, -30, 30)
    return (1 - 0.75 * np.exp(-(hilum**3))) / (1 + np.exp(margin))


_DRAW = {
    SMOOTH_MASS: _smooth_mass,
    SINGLE_CALCIFICATION: _single_calcification,
    VASCULAR_CALCIFICATION: _vascular_calcification,
    LYMPH_NODE: _lymph_node,
}
