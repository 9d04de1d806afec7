"""Pages of hits, misses and false positives at an operating point, to see what goes wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from detectron2.data import DatasetCatalog
from PIL import Image, ImageDraw

from medmask.data.dataset_dicts import read_dataset_image
from medmask.errors import InputError
from medmask.evaluation import GroundTruth, ground_truth_of, read_detections
from medmask.evaluation.error_analysis import KINDS, Finding, count_kinds, find_errors
from medmask.inference.drawing import GROUND_TRUTH_COLOR
from medmask.inference.fonts import Font, font_for
from medmask.utils.files import check_output_folder
from medmask.utils.json_files import finite_values, write_json
from medmask.utils.png_files import write_png
from medmask.utils.progress import with_progress

_COLUMNS = 8
_TILE, _CAPTION, _GAP, _FONT_SIZE = 200, 32, 8, 11  # pixels
_CONTEXT = 3.0  # side of what is shown, in sides of the box
_LEAST_CONTEXT = 0.12  # of the longer side of the image
_GRAY, _INK = 40, (220, 220, 220)
_DETECTION_COLOR = (255, 160, 40)
_NOT_TOLD = ("file_name", "annotations", "image_id", "height", "width", "patient_id")
"""Fields of an image that a caption has no room for, or names otherwise."""


@dataclass(frozen=True)
class View:
    """The surroundings of a finding.

    Attributes:
        pixels: (S, S, 3) uint8 RGB, black beyond the image.
        origin: (2,) x and y of its upper left corner in pixels of the image.
        scale: sides of a pixel of the image in pixels of the view.
    """

    pixels: np.ndarray
    origin: np.ndarray
    scale: float

    def place(self, box: Sequence[float] | np.ndarray) -> np.ndarray:
        """(2, 2) corners of a box (x0, y0, x1, y1) of the image in pixels of the view."""
        return (np.reshape(box, (2, 2)) - self.origin) * self.scale


def draw_error_sheets(
    dataset: str, detections_file: str, output_dir: Path, *, fpi: float, num_tiles: int
) -> dict[str, int]:
    """Draw a page of each kind, and write all findings to ``findings.json``.

    Lesions are green, detections orange. A caption tells the file, the score, the class where there
    are several, and what the annotation file says of the image.

    Args:
        dataset: name of the registered data set that was evaluated.
        detections_file: list of detections, see :func:`medmask.evaluation.read_detections`.
        output_dir: gets ``hits.png``, ``misses.png`` and ``false_positives.png``; none for a kind
            that does not occur, also where an earlier call left one.
        fpi: false positives per image at which hits and misses are told apart.
        num_tiles: at most so many of each kind are drawn, at least 1.

    Returns:
        How many there are of each kind.

    Raises:
        InputError: a number is out of its range, the data set or the file has problems, or they do
            not belong together.
    """
    if num_tiles < 1:
        raise InputError(f"the number of images to draw must be at least 1, got {num_tiles}")
    check_output_folder(output_dir)
    ground_truth = ground_truth_of(dataset)
    detections = read_detections(detections_file, ground_truth)
    findings = find_errors(ground_truth, detections, fpi)
    dataset_dicts = DatasetCatalog.get(dataset)
    for kind in KINDS:
        of_kind = [finding for finding in findings if finding.kind == kind][:num_tiles]
        page = output_dir / f"{kind}.png"
        if not of_kind:
            page.unlink(missing_ok=True)  # of an earlier call, which would seem to be of this one
        else:
            tiles = [
                _draw(finding, dataset_dicts[finding.image], ground_truth)
                for finding in with_progress(of_kind, f"drawing {kind}", "tile")
            ]
            write_png(page, _join(tiles))
    records = [_record(finding, dataset_dicts[finding.image], ground_truth) for finding in findings]
    write_json(output_dir / "findings.json", records)
    return count_kinds(findings)


def view_around(image: np.ndarray, box: Sequence[float], side: int) -> View:
    """Cut out a box with its surroundings.

    Args:
        image: (H, W, 3) RGB in [0, 255]; NaN is black.
        box: (x0, y0, x1, y1) in its pixels.
        side: S, of the view in pixels.
    """
    pixels = np.nan_to_num(np.clip(image, 0, 255), nan=0.0).astype(np.uint8)
    x0, y0, x1, y1 = box
    shown = max(_CONTEXT * max(x1 - x0, y1 - y0), _LEAST_CONTEXT * max(pixels.shape[:2]))
    scale = side / shown
    origin = np.array([(x0 + x1 - shown) / 2, (y0 + y1 - shown) / 2])
    shift = np.column_stack([np.eye(2) * scale, -origin * scale])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return View(cv2.warpAffine(pixels, shift, (side, side), flags=interpolation), origin, scale)


def _record(
    finding: Finding, dataset_dict: Mapping[str, Any], ground_truth: GroundTruth
) -> dict[str, Any]:
    x0, y0, x1, y1 = finding.box
    names = ground_truth.file_names or (None,) * ground_truth.num_images
    told = {k: v for k, v in dataset_dict.items() if k not in ("file_name", "annotations")}
    return {
        "kind": finding.kind,
        "file_name": names[finding.image],
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "score": finding.score,
        "category": ground_truth.category_names[finding.category],
        "image": finite_values(told),
    }


def _draw(
    finding: Finding, dataset_dict: Mapping[str, Any], ground_truth: GroundTruth
) -> np.ndarray:
    """(H, W, 3) uint8: the surroundings of a finding, and what is known of it."""
    view = view_around(read_dataset_image(dict(dataset_dict)), finding.box, _TILE)
    in_image = (ground_truth.image_indices == finding.image) & ~ground_truth.is_crowd
    for box in ground_truth.boxes[in_image]:
        _draw_box(view.pixels, view.place(box), GROUND_TRUTH_COLOR)
    if finding.kind == "false_positives":
        _draw_box(view.pixels, view.place(finding.box), _DETECTION_COLOR)
    tile = np.full((_TILE + _CAPTION, _TILE + _GAP, 3), _GRAY, np.uint8)
    tile[:_TILE, :_TILE] = view.pixels
    return _write_caption(tile, _caption(finding, dataset_dict, ground_truth))


def _caption(
    finding: Finding, dataset_dict: Mapping[str, Any], ground_truth: GroundTruth
) -> tuple[str, str]:
    """Two lines."""
    score = "no hit" if finding.score is None else f"{finding.score:.2f}"
    names = ground_truth.category_names
    told = [names[finding.category]] if len(names) > 1 else []
    told += [f"{k} {v}" for k, v in dataset_dict.items() if k not in _NOT_TOLD and _is_short(v)]
    return f"{Path(dataset_dict['file_name']).stem} {score}", ", ".join(told)


def _write_caption(tile: np.ndarray, lines: Sequence[str]) -> np.ndarray:
    """The same (H, W, 3) tile with lines of text in its lowest rows."""
    canvas = Image.fromarray(tile)
    draw = ImageDraw.Draw(canvas)
    for number, text in enumerate(lines):
        position = (3, _TILE + 2 + 15 * number)
        font = font_for(text, _FONT_SIZE)
        draw.text(position, _cut_to_fit(text, font), fill=_INK, font=font)
    return np.asarray(canvas)


def _cut_to_fit(text: str, font: Font) -> str:
    """The text, or as much of its start as the width of a tile has room for."""
    shown = text
    while shown and font.getlength(shown) > _TILE - 3:
        text = text[:-1]
        shown = f"{text}..."
    return shown


def _is_short(value: Any) -> bool:
    return isinstance(value, bool | int | float | str) and len(str(value)) < 12


def _draw_box(image: np.ndarray, corners: np.ndarray, color: tuple[int, int, int]) -> None:
    (x0, y0), (x1, y1) = np.clip(np.round(corners), -10_000, 10_000).astype(int).tolist()
    cv2.rectangle(image, (x0, y0), (x1, y1), color, 1)


def _join(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """Rows of eight tiles, fewer where there are fewer."""
    columns = min(_COLUMNS, len(tiles))
    padded = [*tiles, *[np.full_like(tiles[0], _GRAY)] * (-len(tiles) % columns)]
    rows = [padded[start : start + columns] for start in range(0, len(padded), columns)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])
