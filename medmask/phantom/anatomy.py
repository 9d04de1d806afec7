"""The breasts of a patient and how they lie on the detector in each view, in millimeters.

Everything is laid out as for a left breast: chest wall at the left image edge, nipple to the right,
axilla at the top. The generator mirrors right breasts.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from medmask.phantom.grid import FIELD_HEIGHT_MM

VIEWS = ("CC", "MLO")

BEYOND_MM = 60.0
"""Reach of the layout beyond the field: the breast's cut edges are not skin."""

# Density grades a to d of BI-RADS (American College of Radiology, 5th edition, 2013): the fraction
# of the breast that is fibroglandular, and the frequency of the grade.
_DENSITY_GRADES = ((0.06, 0.16), (0.16, 0.32), (0.32, 0.52), (0.52, 0.72))
_GRADE_FREQUENCY = (0.2, 0.4, 0.3, 0.1)


@dataclass(frozen=True)
class Breast:
    """Measures of one breast, which its views share; lengths in millimeters.

    Attributes:
        depth: chest wall to nipple.
        half_height: half of the breast's extent along the chest wall in the CC view.
        compression: thickness between the paddles.
        density: fraction of the breast that is fibroglandular tissue.
        gland_reach: how far from the nipple that tissue goes, relative to the depth.
        subcutaneous_fat: depth of the fat under the skin.
        fibrousness: how strongly fibers show in the glandular tissue, about 1.
        nipple_height: by how much the nipple stands out of the outline.
        muscle_width: width of the pectoral muscle at the top of the MLO view.
        muscle_height: how far down the chest wall the muscle reaches in the MLO view.
    """

    depth: float
    half_height: float
    compression: float
    density: float
    gland_reach: float
    subcutaneous_fat: float
    fibrousness: float
    nipple_height: float
    muscle_width: float
    muscle_height: float


@dataclass(frozen=True)
class Muscle:
    """The visible pectoral muscle; lengths in millimeters.

    Attributes:
        center: y of the middle of a crescent in the CC view; None for the wedge of the MLO view.
        width: at its widest.
        height: top of the field to its lower end (wedge) or half of its extent (crescent).
        belly: bulge of the wedge's edge, relative to its width; negative for a hollow edge.
        softness: width over which its edge fades.
    """

    center: float | None
    width: float
    height: float
    belly: float
    softness: float


@dataclass(frozen=True)
class Layout:
    """One view of a breast, before it is drawn on pixels.

    Attributes:
        breast: the breast that is seen.
        view: "CC" or "MLO".
        top: y in millimeters where the field of 240 mm begins.
        outline: (N, 2) points of the skin line from top to bottom, in millimeters.
        nipple: (x, y) of the nipple in millimeters.
        muscle: the pectoral muscle, if it is in the view.
    """

    breast: Breast
    view: str
    top: float
    outline: np.ndarray
    nipple: tuple[float, float]
    muscle: Muscle | None


def draw_breast_pair(random: np.random.Generator) -> tuple[Breast, Breast]:
    """Draw the left and right breast of a patient: alike, not equal."""
    depth = random.uniform(70, 140)
    grade = random.choice(4, p=_GRADE_FREQUENCY)
    common = {
        "depth": depth,
        "half_height": np.clip(depth * random.uniform(0.74, 1.0), 62, 104),
        "compression": random.uniform(38, 62),
        "density": random.uniform(*_DENSITY_GRADES[grade]),
        "gland_reach": random.uniform(0.7, 0.95),
        "subcutaneous_fat": random.uniform(4, 11),
        "fibrousness": random.uniform(0.5, 1.3),
        "nipple_height": max(random.normal(4.0, 2.5), 0.0),
        "muscle_width": random.uniform(30, 62),
        "muscle_height": random.uniform(85, 160),
    }
    left, right = (
        Breast(**{name: float(value * random.normal(1.0, 0.04)) for name, value in common.items()})
        for _ in range(2)
    )
    return left, right


def draw_layout(breast: Breast, view: str, height: float, random: np.random.Generator) -> Layout:
    """Position a breast for one view.

    Args:
        breast: its measures.
        view: "CC" or "MLO".
        height: of the image in millimeters; the field of 240 mm is in its middle.
        random: draws what positioning varies.
    """
    top = 0.5 * (height - FIELD_HEIGHT_MM)
    if view == "CC":
        points, nipple = _cc_outline(breast, top, random)
        muscle = _cc_muscle(top, random)
    else:
        points, nipple = _mlo_outline(breast, top, random)
        muscle = _mlo_muscle(breast, random)
    outline, tip = _with_nipple(_undulating(points, random), nipple, breast, random)
    return Layout(breast, view, top, outline, tip, muscle)


def _cc_outline(breast: Breast, top: float, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """Half a superellipse, fuller on one side; returns its points and the nipple's index."""
    center = top + 0.5 * FIELD_HEIGHT_MM + random.normal(0, 6)
    power = 2 / random.uniform(1.9, 2.4)
    angle = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 241)
    fullness = np.where(angle < 0, random.uniform(0.93, 1.07), random.uniform(0.93, 1.07))
    x = breast.depth * np.abs(np.cos(angle)) ** power
    away = np.sign(angle) * breast.half_height * fullness * np.abs(np.sin(angle)) ** power
    # The skin flares where it meets the chest wall.
    flare = np.sign(angle) * random.uniform(4, 12) * np.exp(-x / 9.0)
    nipple = 120 + int(np.clip(random.normal(0, 9), -25, 25))
    return np.stack([x, center + away + flare], axis=1), nipple


def _mlo_outline(breast: Breast, top: float, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """Axilla at the top, drooping breast, inframammary fold; as for :func:`_cc_outline`."""
    depth = breast.depth
    nipple = top + random.uniform(122, 150)
    axilla = max(0.42 * depth, 0.8 * breast.muscle_width) + random.uniform(4, 16)
    lower = breast.half_height * random.uniform(0.66, 0.84)
    fold = random.uniform(-4, 12)
    roundness = random.uniform(40, 60)  # radius of the tip
    shoulder = nipple - random.uniform(26, 32)
    control = np.array(
        [
            (axilla - 12, -BEYOND_MM),
            (axilla, top + 4),
            (0.42 * axilla + 0.58 * depth, top + 0.5 * (shoulder - top)),
            (depth - (nipple - shoulder) ** 2 / (2 * roundness), shoulder),
            (depth, nipple),
            (depth - (0.36 * lower) ** 2 / (2 * roundness), nipple + 0.36 * lower),
            (0.62 * depth, nipple + 0.76 * lower),
            (0.26 * depth + 0.6 * fold, nipple + lower),
            (fold, nipple + lower + 14),
            (fold + random.uniform(-4, 8), nipple + lower + 40),
            (fold + random.uniform(-4, 12), nipple + lower + 40 + 2 * BEYOND_MM),
        ]
    )
    chord = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(control, axis=0).T))])
    at = np.linspace(0, chord[-1], 400)
    index = int(np.argmin(np.abs(at - chord[4]))) + int(random.integers(-5, 8))
    return CubicSpline(chord, control)(at), index


def _undulating(points: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Let the outline waver by a millimeter or two, as soft tissue does."""
    at = np.linspace(0, 1, len(points))
    wave = sum(
        random.normal(0, 1.2 / order) * np.sin(2 * np.pi * (order * at + random.uniform()))
        for order in range(1, 6)
    )
    return points + np.stack([wave, 0.3 * wave], axis=1)


def _with_nipple(
    points: np.ndarray, index: int, breast: Breast, random: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float]]:
    """Raise the nipple out of the outline at one of its points; returns outline and nipple."""
    chord = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.union1d(chord, chord[index] + np.linspace(-12, 12, 49))
    outline = np.stack([np.interp(at, chord, points[:, axis]) for axis in (0, 1)], axis=1)
    tangent = points[index + 4] - points[index - 4]
    outwards = tangent[::-1] * (1, -1) / np.linalg.norm(tangent)
    width = random.uniform(3.5, 5.5)
    bump = np.exp(-(np.abs((at - chord[index]) / width) ** 3))
    outline += breast.nipple_height * bump[:, None] * outwards
    return outline, (float(points[index, 0]), float(points[index, 1]))


def _cc_muscle(top: float, random: np.random.Generator) -> Muscle | None:
    """A crescent at the chest wall, in every fifth view."""
    if random.uniform() > 0.2:
        return None
    return Muscle(
        center=top + 0.5 * FIELD_HEIGHT_MM + random.normal(0, 12),
        width=random.uniform(4, 9),
        height=random.uniform(30, 55),
        belly=0.0,
        softness=random.uniform(1.0, 2.0),
    )


def _mlo_muscle(breast: Breast, random: np.random.Generator) -> Muscle:
    """A wedge from the axilla down the chest wall."""
    return Muscle(
        center=None,
        width=breast.muscle_width,
        height=breast.muscle_height,
        belly=random.uniform(-0.08, 0.2),
        softness=random.uniform(1.2, 2.6),
    )
