"""Artifacts on a film beside the breast: lead markers, the film's clear border, dust, scratches."""

import cv2
import numpy as np

from medmask.phantom.geometry import Geometry
from medmask.phantom.grid import Grid
from medmask.phantom.strokes import draw_strokes, wandering_path

_LEAD = 3.0  # in log10 of the exposure: nothing comes through
_LETTER_SUPERSAMPLING = 8


def lead_attenuation(
    geometry: Geometry, laterality: str, random: np.random.Generator
) -> np.ndarray:
    """Side marker, identification label and clear film border, as loss of log10 exposure.

    Args:
        geometry: the view, mirrored for a right breast.
        laterality: "L" or "R".
        random: draws what there is and where.

    Returns:
        (H, W) float32, 0 where the film was exposed.
    """
    grid = geometry.grid
    lead = _clear_border(grid, laterality, random)
    if random.uniform() < 0.9:
        text = f"{laterality} {geometry.layout.view}"
        plate = random.uniform() < 0.35
        y = 0.5 * (grid.height_mm - 240) + random.uniform(12, 34)
        _stamp(lead, text, (random.uniform(128, 148), y), 6.5, plate, laterality, grid)
    if random.uniform() < 0.45:
        digits = "".join(str(d) for d in random.integers(0, 10, 6))
        y = 0.5 * (grid.height_mm + 240) - random.uniform(10, 22)
        _stamp(lead, digits, (random.uniform(122, 145), y), 4.0, True, laterality, grid)
    return _LEAD * lead


def _clear_border(grid: Grid, laterality: str, random: np.random.Generator) -> np.ndarray:
    """Film that the collimator or the cassette's frame kept from exposure: slanted strips."""
    x, y = grid.coordinates
    border = np.zeros(grid.shape, np.float32)
    width_mm = grid.width * grid.spacing
    away = width_mm - x if laterality == "L" else x
    for distance, along in ((away, y), (y, x), (grid.height_mm - y, x)):
        if random.uniform() < 0.3:
            slope = random.normal(0, 0.006)
            strip = random.uniform(1.0, 4.0) + slope * (along - 100)
            border = np.maximum(border, np.clip((strip - distance) / grid.spacing + 0.5, 0, 1))
    return border


def _stamp(
    lead: np.ndarray,
    text: str,
    position: tuple[float, float],
    letter_height: float,
    plate: bool,
    laterality: str,
    grid: Grid,
) -> None:
    """Put lead letters, or a lead plate with letters cut out, on the film.

    Args:
        lead: (H, W), written to.
        text: the letters.
        position: (x, y) of the text's center in millimeters, for a left breast.
        letter_height: in millimeters.
        plate: letters cut out of a plate.
        laterality: "L" or "R"; a right breast's marker is on the other side.
        grid: the pixel grid.
    """
    font, thickness = cv2.FONT_HERSHEY_DUPLEX, 2
    pixels = _LETTER_SUPERSAMPLING * grid.pixels(letter_height)
    (_, unit_height), _ = cv2.getTextSize(text, font, 1.0, thickness)
    scale = pixels / unit_height
    thickness = max(round(0.12 * pixels), 1)
    (width, height), _ = cv2.getTextSize(text, font, scale, thickness)
    margin = round(0.45 * pixels)
    canvas = np.zeros((height + 2 * margin, width + 2 * margin), np.uint8)
    cv2.putText(canvas, text, (margin, margin + height), font, scale, 255, thickness, cv2.LINE_AA)
    if plate:
        canvas = 255 - canvas
    size = tuple(max(round(side / _LETTER_SUPERSAMPLING), 1) for side in canvas.shape[::-1])
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    x = position[0] if laterality == "L" else grid.width * grid.spacing - position[0]
    left = round(grid.pixels(x) - 0.5 * size[0])
    top = round(grid.pixels(position[1]) - 0.5 * size[1])
    rows = slice(max(top, 0), min(top + size[1], grid.height))
    columns = slice(max(left, 0), min(left + size[0], grid.width))
    visible = small[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    lead[rows, columns] = np.maximum(lead[rows, columns], visible)


def add_dust(density: np.ndarray, grid: Grid, random: np.random.Generator) -> np.ndarray:
    """Dust on the screen (clear specks) and scratches in the emulsion, in optical density."""
    width_mm = grid.width * grid.spacing
    strokes = []
    for _ in range(random.poisson(4)):
        start = np.array([random.uniform(0, width_mm), random.uniform(0, grid.height_mm)])
        end = start + random.normal(0, 0.5, 2)
        strokes.append((np.stack([start, end]), random.uniform(0.3, 0.7), random.uniform(0.2, 0.7)))
    if random.uniform() < 0.3:
        start = np.array([random.uniform(0, width_mm), random.uniform(0, grid.height_mm)])
        angle = random.normal(0.5 * np.pi, 0.3)
        end = start + random.uniform(20, 90) * np.array([np.cos(angle), np.sin(angle)])
        path = wandering_path(start, end, 0.01, random)
        strokes.append((path, 0.3, random.uniform(0.15, 0.5)))
    return density - 0.8 * draw_strokes(strokes, grid)
