"""The generator of a patient's images and boxes.

Every patient has a random stream of its own, derived from (seed, domain, split, patient number), so
that no image depends on which others are generated. A patient has four views, as in screening; a
finding of a breast shows in both of its views.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medmask.coco import decode_mask, encode_mask
from medmask.errors import InputError
from medmask.phantom.anatomy import VIEWS, draw_breast_pair, draw_layout
from medmask.phantom.benign import BenignPlan, benign_density, draw_benign_plans
from medmask.phantom.geometry import draw_geometry
from medmask.phantom.grid import Grid
from medmask.phantom.lesions import (
    LesionPlan,
    draw_lesion_plan,
    lesion_density,
    visible_box,
    visible_part,
)
from medmask.phantom.options import DOMAINS, SPLITS, PhantomParameters
from medmask.phantom.placement import Placement, Point
from medmask.phantom.scanner import make_scanner
from medmask.phantom.tissue import GLAND_CONTRAST, tissue_attenuation

LATERALITIES = ("L", "R")
IMAGES_PER_PATIENT = len(LATERALITIES) * len(VIEWS)

_SECOND_LESION_FREQUENCY = 0.25
_ATTEMPTS = 100  # a large lesion may find no room in a small breast: then another is drawn


@dataclass(frozen=True)
class Lesion:
    """A malignant lesion in one image.

    Attributes:
        lesion_type: "mass" or "calcification_cluster".
        box: (x, y, width, height) in pixels.
        runs: of the image's pixels that belong to it, see :mod:`medmask.coco.run_length`.
    """

    lesion_type: str
    box: tuple[float, float, float, float]
    runs: tuple[int, ...]


@dataclass(frozen=True)
class PhantomImage:
    """One mammogram.

    Attributes:
        pixels: (H, W) float32 gray values in [0, 1], dense tissue bright.
        view: "CC" or "MLO".
        laterality: "L" (chest wall at the left image edge) or "R" (at the right one).
        lesions: the malignant lesions.
    """

    pixels: np.ndarray
    view: str
    laterality: str
    lesions: tuple[Lesion, ...]

    def quantized(self, bits: int) -> np.ndarray:
        """Gray values as integers: (H, W), uint8 up to 8 bits and uint16 above."""
        dtype = np.uint8 if bits <= 8 else np.uint16
        return np.rint(self.pixels * (2**bits - 1)).astype(dtype)


@dataclass(frozen=True)
class Patient:
    """A patient's four images: left CC, left MLO, right CC, right MLO."""

    patient_id: str
    images: tuple[PhantomImage, ...]


@dataclass(frozen=True)
class _Findings:
    """The findings of one breast, each with its centers in the CC and the MLO view."""

    malignant: list[tuple[LesionPlan, tuple[Point, Point]]]
    benign: list[tuple[BenignPlan, tuple[Point | None, Point]]]


def generate_patient(parameters: PhantomParameters, domain: str, split: str, index: int) -> Patient:
    """Generate a patient's four mammograms in memory.

    The anatomy and the places of the lesions do not depend on the image size; the texture does.

    Args:
        parameters: size, seed and difficulty.
        domain: "film" or "ffdm".
        split: "train", "val" or "test".
        index: number of the patient in its split, from 0.

    Raises:
        InputError: the domain or the split is unknown.
    """
    if domain not in DOMAINS:
        raise InputError(f"domain '{domain}' is unknown: choose from {', '.join(DOMAINS)}")
    if split not in SPLITS:
        raise InputError(f"split '{split}' is unknown: choose from {', '.join(SPLITS)}")
    key = (DOMAINS.index(domain), SPLITS.index(split), index)
    random = np.random.default_rng(np.random.SeedSequence(parameters.seed, spawn_key=key))
    grid = Grid.of_image(parameters.height, parameters.width)
    scanner = make_scanner(domain, parameters.ffdm_curve_strength)

    images = []
    breasts = draw_breast_pair(random)
    for side, (laterality, breast) in enumerate(zip(LATERALITIES, breasts, strict=True)):
        cc, mlo = layouts = [draw_layout(breast, view, grid.height_mm, random) for view in VIEWS]
        placement = Placement(cc, mlo, grid)
        findings = _draw_findings(_is_positive(parameters, key, side), placement, random)
        # Drawing pixels takes as many numbers as there are pixels: give each view its own stream.
        for number, (layout, stream) in enumerate(zip(layouts, random.spawn(2), strict=True)):
            geometry = draw_geometry(layout, grid)
            attenuation = tissue_attenuation(geometry, stream)
            lesions = _add_findings(
                attenuation, findings, number, grid, parameters.lesion_contrast, stream
            )
            if laterality == "R":
                attenuation = np.ascontiguousarray(attenuation[:, ::-1])
                geometry = geometry.mirrored()
                lesions = [_mirrored(lesion, grid.shape) for lesion in lesions]
            pixels = scanner.scan(attenuation, geometry, laterality, stream)
            images.append(PhantomImage(pixels, layout.view, laterality, tuple(lesions)))
    return Patient(f"{domain}_{split}_{index:05d}", tuple(images))


def _is_positive(parameters: PhantomParameters, key: tuple[int, int, int], side: int) -> bool:
    """Decide whether a breast has a malignant lesion.

    A golden-ratio sequence from a random start: its fraction of positives is exact to a breast or
    two in any run of patients, and both breasts of a patient are seldom positive.
    """
    domain, split, index = key
    start = np.random.SeedSequence(parameters.seed, spawn_key=(domain, split)).generate_state(1)[0]
    golden = 0.5 * (math.sqrt(5) - 1)
    position = start / 2**32 + (2 * index + side) * golden
    return position % 1.0 < parameters.positive_fraction


def _draw_findings(positive: bool, placement: Placement, random: np.random.Generator) -> _Findings:
    """Draw the findings of a breast and their places, malignant lesions first."""
    findings = _Findings([], [])
    wanted = 0
    if positive:
        wanted = 2 if random.uniform() < _SECOND_LESION_FREQUENCY else 1
    for _ in range(_ATTEMPTS):
        if len(findings.malignant) == wanted:
            break
        plan = draw_lesion_plan(random)
        centers = placement.place(plan.reach, random)
        if centers is not None:
            findings.malignant.append((plan, centers))
    if positive and not findings.malignant:
        raise RuntimeError(f"no lesion found room in a breast in {_ATTEMPTS} attempts")
    for benign in draw_benign_plans(random):
        places: tuple[Point | None, Point] | None
        if benign.in_axilla:
            node = placement.place_in_axilla(benign.reach, random)
            places = None if node is None else (None, node)
        else:
            places = placement.place(benign.reach, random)
        if places is not None:
            findings.benign.append((benign, places))
    return findings


def _add_findings(
    attenuation: np.ndarray,
    findings: _Findings,
    number: int,
    grid: Grid,
    contrast: float,
    random: np.random.Generator,
) -> list[Lesion]:
    """Add the findings to one view's attenuation (in place); returns the malignant ones.

    Args:
        attenuation: (H, W), changed.
        findings: what is in the breast.
        number: of the view, 0 for CC and 1 for MLO.
        grid: the pixel grid.
        contrast: scales every finding's density.
        random: draws what differs between views.
    """

    def add(
        plan: LesionPlan | BenignPlan, center: tuple[float, float], draw: Callable[..., np.ndarray]
    ) -> tuple[np.ndarray, Grid]:
        window = grid.window(center, plan.reach)
        density = draw(plan, center, window, random)
        attenuation[window.slices] += contrast * GLAND_CONTRAST * plan.thickness * density
        return density, window

    for benign, places in findings.benign:
        place = places[number]
        if place is not None:
            add(benign, place, benign_density)
    lesions = []
    for plan, centers in findings.malignant:
        density, window = add(plan, centers[number], lesion_density)
        visible = visible_part(density)
        mask = np.zeros(grid.shape, dtype=bool)
        mask[window.slices] = visible
        box = visible_box(visible, window)
        lesions.append(Lesion(plan.lesion_type, box, tuple(encode_mask(mask))))
    return lesions


def _mirrored(lesion: Lesion, image_size: tuple[int, int]) -> Lesion:
    x, y, width, height = lesion.box
    mask = decode_mask(lesion.runs, image_size)[:, ::-1]
    box = (image_size[1] - x - width, y, width, height)
    return Lesion(lesion.lesion_type, box, tuple(encode_mask(mask)))
