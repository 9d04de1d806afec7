"""The breast as a compressed body: outline, thickness, skin, nipple and pectoral muscle.

Everything is drawn as for a left breast: chest wall at the left image edge, nipple to the right. The
generator mirrors right breasts.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from medmask.data.phantom.grid import FIELD_HEIGHT_MM, Grid

VIEWS = ("CC", "MLO")

_SUPERSAMPLING = 2
_PADDING_MM = 60.0  # the breast goes on beyond the detector: its cut edges are not skin


@dataclass(frozen=True)
class Breast:
    """What both views of one breast share; lengths in millimetres.

    Attributes:
        depth: chest wall to nipple.
        half_height: half of the breast's extent along the chest wall in the CC view.
        compression: thickness between the paddles.
        density: fraction of fibroglandular tissue, 0 to 1 (BI-RADS a to d).
        subcutaneous_fat: depth of the fat under the skin.
        nipple_height: by how much the nipple stands out of the outline.
        muscle_width: width of the pectoral muscle at the top of the MLO view.
        muscle_height: how far down the chest wall the muscle reaches in the MLO view.
    """

    depth: float
    half_height: float
    compression: float
    density: float
    subcutaneous_fat: float
    nipple_height: float
    muscle_width: float
    muscle_height: float


@dataclass(frozen=True)
class Geometry:
    """One view of a breast on the pixel grid; every array is (H, W) float32.

    Attributes:
        grid: the pixel grid.
        view: "CC" or "MLO".
        breast: the breast that is seen.
        coverage: fraction of the pixel that the breast covers, 0 to 1.
        skin_distance: millimetres to the skin line, 0 outside.
        thickness: millimetres of compressed breast under the pixel.
        muscle: pectoral muscle, 0 to 1.
        muscle_distance: millimetres to the muscle (0 in it).
        nipple: (x, y) of the nipple in millimetres.
    """

    grid: Grid
    view: str
    breast: Breast
    coverage: np.ndarray
    skin_distance: np.ndarray
    thickness: np.ndarray
    muscle: np.ndarray
    muscle_distance: np.ndarray
    nipple: tuple[float, float]


_DENSITY_GRADES = ((0.03, 0.12), (0.12, 0.3), (0.3, 0.55), (0.55, 0.8))
_DENSITY_GRADE_FREQUENCY = (0.15, 0.4, 0.35, 0.1)


def draw_breast_pair(random: np.random.Generator) -> tuple[Breast, Breast]:
    """Draw the left and right breast of a patient: alike, not equal."""
    depth = random.uniform(65, 130)
    grade = random.choice(4, p=_DENSITY_GRADE_FREQUENCY)
    common = {
        "depth": depth,
        "half_height": np.clip(depth * random.uniform(0.78, 1.05), 62, 106),
        "compression": random.uniform(35, 65),
        "density": random.uniform(*_DENSITY_GRADES[grade]),
        "subcutaneous_fat": random.uniform(5, 13),
        "nipple_height": max(random.normal(4.5, 2.5), 0.0),
        "muscle_width": random.uniform(35, 75),
        "muscle_height": random.uniform(85, 165),
    }
    return tuple(
        Breast(**{name: float(value * random.normal(1.0, 0.04)) for name, value in common.items()})
        for _ in range(2)
    )


def view_geometry(breast: Breast, view: str, grid: Grid, random: np.random.Generator) -> Geometry:
    """Lay a breast on the detector for one view.

    Args:
        breast: its measures.
        view: "CC" or "MLO".
        grid: the pixel grid.
        random: draws what positioning varies.
    """
    outline = _cc_outline if view == "CC" else _mlo_outline
    points, nipple = outline(breast, grid, random)
    coverage, skin_distance = _rasterise(points, grid)
    # Between two paddles the free edge of a soft body bulges as a half circle.
    bulge = 0.5 * breast.compression
    inwards = np.clip(skin_distance / bulge, 0.0, 1.0)
    thickness = breast.compression * np.sqrt(inwards * (2.0 - inwards))
    muscle, muscle_distance = _pectoral_muscle(breast, view, grid, random)
    return Geometry(
        grid,
        view,
        breast,
        coverage,
        skin_distance,
        thickness,
        muscle * coverage,
        muscle_distance,
        nipple,
    )


def _cc_outline(
    breast: Breast, grid: Grid, random: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float]]:
    """Outline of the CC view: half a superellipse, fuller on one side."""
    centre = 0.5 * grid.height_mm + random.normal(0, 6)
    exponent = random.uniform(1.9, 2.4)
    angle = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 181)
    half_heights = breast.half_height * np.where(
        angle < 0, random.uniform(0.92, 1.08), random.uniform(0.92, 1.08)
    )
    x = breast.depth * np.abs(np.cos(angle)) ** (2 / exponent)
    y = centre + half_heights * np.sign(angle) * np.abs(np.sin(angle)) ** (2 / exponent)
    # The skin flares where it meets the chest wall.
    flare = random.uniform(4, 12)
    y = y + np.sign(angle) * flare * np.exp(-x / 9.0)
    nipple = int(np.clip(90 + random.normal(0, 7), 70, 110))
    points = np.stack([x, y], axis=1)
    return _with_nipple(_undulating(points, random), nipple, breast, random)


def _mlo_outline(
    breast: Breast, grid: Grid, random: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float]]:
    """Outline of the MLO view: axilla at the top, drooping breast, inframammary fold below."""
    top = 0.5 * (grid.height_mm - FIELD_HEIGHT_MM)
    depth = breast.depth
    nipple_y = top + random.uniform(120, 150)
    axilla = max(0.45 * depth, breast.muscle_width * 0.8) + random.uniform(5, 18)
    lower = breast.half_height * random.uniform(0.72, 0.9)
    fold = random.uniform(4, 16)
    control = np.array(
        [
            (axilla - 8, -_PADDING_MM),
            (axilla, top + 2),
            (0.5 * (axilla + depth), top + 0.47 * (nipple_y - top)),
            (0.93 * depth, nipple_y - 27),
            (depth, nipple_y),
            (0.93 * depth, nipple_y + 0.33 * lower),
            (0.62 * depth, nipple_y + 0.73 * lower),
            (0.3 * depth + fold, nipple_y + 0.95 * lower),
            (fold, nipple_y + lower + 6),
            (fold * random.uniform(0.6, 1.8), nipple_y + lower + 24),
            (fold * random.uniform(0.6, 1.8), grid.height_mm + _PADDING_MM),
        ]
    )
    chord = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(control, axis=0).T))])
    at = np.linspace(0, chord[-1], 240)
    points = PchipInterpolator(chord, control)(at)
    nipple = int(np.argmin(np.abs(at - chord[4]))) + int(random.integers(-6, 9))
    return _with_nipple(_undulating(points, random), nipple, breast, random)


def _undulating(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Let the outline waver by a millimetre or two, as soft tissue does."""
    at = np.linspace(0, 1, len(points))
    wave = sum(
        random.normal(0, 1.2 / order) * np.sin(2 * np.pi * (order * at + random.uniform()))
        for order in range(1, 6)
    )
    return points + np.stack([wave, 0.3 * wave], axis=1)


def _with_nipple(
    points: np.ndarray, index: int, breast: Breast, random: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float]]:
    """Raise the nipple out of the outline at one of its points."""
    before, after = points[index - 3], points[index + 3]
    tangent = (after - before) / np.linalg.norm(after - before)
    normal = np.array([tangent[1], -tangent[0]])
    along = (points - points[index]) @ tangent
    fine = np.linspace(-14, 14, 57)
    base = np.stack(
        [
            np.interp(fine, along[index - 20 : index + 21], points[index - 20 : index + 21, k])
            for k in (0, 1)
        ],
        axis=1,
    )
    width = random.uniform(3.5, 5.5)
    height = breast.nipple_height * np.exp(-((np.abs(fine) / width) ** 3))
    raised = base + height[:, None] * normal
    keep_before = along < fine[0]
    keep_after = along > fine[-1]
    order = np.arange(len(points))
    outline = np.concatenate(
        [points[keep_before & (order < index)], raised, points[keep_after & (order > index)]]
    )
    return outline, tuple(float(v) for v in points[index])


def _rasterise(points: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Fill the outline; returns coverage and the distance to the skin in millimetres."""
    padding = int(np.ceil(grid.pixels(_PADDING_MM)))
    height, width = grid.height + 2 * padding, grid.width + 2 * padding
    scale = _SUPERSAMPLING / grid.spacing
    closed = np.concatenate(
        [[(-2 * _PADDING_MM, points[0, 1])], points, [(-2 * _PADDING_MM, points[-1, 1])]]
    )
    fixed = np.round((closed * scale + padding * _SUPERSAMPLING - 0.5) * 16).astype(np.int32)
    mask = np.zeros((height * _SUPERSAMPLING, width * _SUPERSAMPLING), np.uint8)
    cv2.fillPoly(mask, [fixed], 255, shift=4)
    # The border of the canvas is not skin either: let the distance transform see through it.
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) / scale
    small = (width, height)
    coverage = cv2.resize(mask, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    distance = cv2.resize(distance, small, interpolation=cv2.INTER_AREA)
    window = np.s_[padding : padding + grid.height, padding : padding + grid.width]
    return np.ascontiguousarray(coverage[window]), np.ascontiguousarray(distance[window])


def _pectoral_muscle(
    breast: Breast, view: str, grid: Grid, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The pectoral muscle: a wedge in the MLO view, now and then a crescent in the CC view.

    Returns:
        its density, 0 to 1, and the distance to it in millimetres.
    """
    x, y = grid.coordinates
    if view == "CC":
        if random.uniform() > 0.25:
            return np.zeros(grid.shape, np.float32), np.full(grid.shape, np.inf, np.float32)
        centre = 0.5 * grid.height_mm + random.normal(0, 12)
        half_height, width = random.uniform(30, 55), random.uniform(4, 10)
        edge = width * (1 - ((y - centre) / half_height) ** 2)
    else:
        top = 0.5 * (grid.height_mm - FIELD_HEIGHT_MM)
        down = (y - top) / breast.muscle_height
        belly = random.uniform(-0.05, 0.18)
        edge = breast.muscle_width * (1 - down) * (1 + belly * np.sin(np.pi * np.clip(down, 0, 1)))
    softness = random.uniform(0.8, 1.8)
    depth = (edge - x).astype(np.float32)
    if view == "MLO":
        depth *= np.float32(np.cos(np.arctan2(breast.muscle_width, breast.muscle_height)))
    muscle = 1 / (1 + np.exp(np.clip(-depth / softness, -30, 30)))
    return muscle.astype(np.float32), np.maximum(-depth, 0)
