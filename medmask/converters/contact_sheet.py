"""A page of converted images with their lesions drawn in, to judge a conversion by eye."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from medmask.converters.annotations import ConvertedImage
from medmask.converters.problems import collect
from medmask.images import read_image
from medmask.utils.png_files import write_png

_COLUMNS, _ROWS = 8, 4
_TILE = 240  # pixels, of each side
_CAPTION = 16
_GRAY = 40
_INK = (220, 220, 220)
_COLORS = {True: (255, 80, 60), False: (90, 220, 120), None: (250, 200, 60)}
"""malignant, benign, not told"""


def write_contact_sheet(path: Path, folder: Path, images: Sequence[ConvertedImage]) -> list[str]:
    """Write a page of up to 32 images, spread over the set; those with lesions fill three quarters.

    Malignant lesions are red, benign ones green, others yellow.

    Args:
        path: the PNG file.
        folder: of the images.
        images: of the set, at least one.

    Returns:
        A sentence on each image that cannot be read, as it was linked to; its place stays empty.
    """
    with_lesions = [image for image in images if image.source.lesions]
    without = [image for image in images if not image.source.lesions]
    most = _COLUMNS * _ROWS
    few = min(len(without), max(most // 4, most - len(with_lesions)))
    chosen = [*_spread(with_lesions, most - few), *_spread(without, few)]
    problems: list[str] = []
    tiles = []
    for image in chosen:
        tiles.append(_empty_tile(image))
        with collect(problems):
            _draw(tiles[-1], folder, image)
    tiles += [np.full_like(tiles[0], _GRAY)] * (-len(tiles) % _COLUMNS)
    rows = [
        np.concatenate(tiles[start : start + _COLUMNS], axis=1)
        for start in range(0, len(tiles), _COLUMNS)
    ]
    write_png(path, np.concatenate(rows))
    return problems


def _spread(images: Sequence[ConvertedImage], count: int) -> list[ConvertedImage]:
    """At most ``count`` of the images, at even distances."""
    count = min(count, len(images))
    return [images[index * len(images) // count] for index in range(count)]


def _draw(tile: np.ndarray, folder: Path, image: ConvertedImage) -> None:
    pixels = read_image(folder / image.written.file_name)
    scale = _TILE / max(pixels.shape[:2])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    small = np.ascontiguousarray(np.clip(small, 0, 255).astype(np.uint8))
    for lesion, regions in zip(image.source.lesions, image.written.regions, strict=True):
        for region in regions:
            _draw_box(small, np.array(region.box) * scale, _COLORS[lesion.malignant])
    tile[:height, :width] = small


def _empty_tile(image: ConvertedImage) -> np.ndarray:
    """Gray, with a caption."""
    tile = np.full((_TILE + _CAPTION, _TILE, 3), _GRAY, np.uint8)
    source = image.source
    words = (source.name.split("/")[-1][-20:], source.laterality, source.view)
    text = " ".join(str(word) for word in words if word)  # a user's own set may have any values
    position = (2, _TILE + _CAPTION - 4)
    cv2.putText(tile, text, position, cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA)
    return tile


def _draw_box(image: np.ndarray, box: np.ndarray, color: tuple[int, int, int]) -> None:
    x, y, width, height = box.tolist()
    first = round(x) - 2, round(y) - 2
    last = round(x + width) + 1, round(y + height) + 1
    cv2.rectangle(image, first, last, color, 1)
