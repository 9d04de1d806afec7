#!/usr/bin/env python3
"""Crop the images of a data set to the breast: lesions cut, share kept, time, contact sheets."""

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from options import write_figures

from medmask.data.breast import Breast, BreastPreprocessing, find_breast
from medmask.data.dataset_dicts import box_corners, load_coco, read_dataset_image
from medmask.data.mapper import augment_image
from medmask.utils.command_line import command_line_tool
from medmask.utils.counts import counted
from medmask.utils.png_files import write_png
from medmask.utils.progress import with_progress

_EXAMPLES = """\
examples:
  python benchmarks/breast_crop.py datasets/inbreast/annotations/instances_all.json \\
      datasets/inbreast/images --pictures output/breast_crop/inbreast
"""
_COLUMNS, _ROWS, _TILE = 12, 8, 180
_OUTLINE, _CROP, _LESION = (255, 255, 0), (255, 60, 60), (60, 255, 60)


@dataclass(frozen=True)
class _Cropped:
    """One image and its crop, both boxes (x0, y0, x1, y1) in pixels."""

    name: str
    is_found: bool
    share: float  # of the image that is kept
    milliseconds: float
    cut: list[list[int]]  # lesion boxes that reach out of the crop
    tile: np.ndarray


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("annotations", type=Path, help="COCO file of the data set")
    parser.add_argument("images", type=Path, help="folder of its images")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="folder of contact sheets")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file of the figures")
    return parser


def _crop(dataset_dict: dict[str, Any], folder: Path) -> _Cropped:
    image = read_dataset_image(dataset_dict)
    start = time.perf_counter()
    breast = find_breast(image)
    milliseconds = 1000 * (time.perf_counter() - start)
    cropped = augment_image(image, BreastPreprocessing(crop=True, window=False))
    assert cropped.original_corners is not None
    crop = np.array(cropped.original_corners).round().astype(int)
    lesions = box_corners(dataset_dict["annotations"])
    is_cut = (lesions[:, :2] < crop[:2]).any(axis=1) | (lesions[:, 2:] > crop[2:]).any(axis=1)
    return _Cropped(
        name=Path(dataset_dict["file_name"]).relative_to(folder).as_posix(),
        is_found=breast is not None,
        share=cropped.pixels.size / image.size,
        milliseconds=milliseconds,
        cut=lesions[is_cut].round().astype(int).tolist(),
        tile=_draw(image, breast, crop, lesions, Path(dataset_dict["file_name"]).stem),
    )


def _draw(
    image: np.ndarray, breast: Breast | None, crop: np.ndarray, lesions: np.ndarray, name: str
) -> np.ndarray:
    """A small copy, brightened, with the outline of the breast, the crop and the lesions."""
    scale = _TILE / max(image.shape[:2])
    width, height = (max(round(side * scale), 1) for side in image.shape[1::-1])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    small = (np.sqrt(np.clip(small, 0, 255) / 255) * 255).astype(np.uint8)
    if breast is not None:
        mask = cv2.resize(breast.mask.astype(np.uint8), (width, height), interpolation=0)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outlines, -1, _OUTLINE, 1)
    for box, color in ((crop, _CROP), *((lesion, _LESION) for lesion in lesions)):
        x0, y0, x1, y1 = (box * scale).astype(int).tolist()
        cv2.rectangle(small, (x0, y0), (x1 - 1, y1 - 1), color, 1)
    tile = np.full((_TILE, _TILE, 3), 60, np.uint8)
    tile[:height, :width] = small
    cv2.putText(tile, name[-16:], (2, _TILE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _OUTLINE, 1)
    return tile


def _write_sheets(folder: Path, tiles: list[np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(tiles), _COLUMNS * _ROWS), 1):
        page = tiles[start : start + _COLUMNS * _ROWS]
        page += [np.zeros_like(page[0])] * (-len(page) % _COLUMNS)
        rows = [np.hstack(page[i : i + _COLUMNS]) for i in range(0, len(page), _COLUMNS)]
        write_png(folder / f"{number}.png", np.vstack(rows))


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    cv2.setNumThreads(1)
    dataset_dicts = load_coco(options.annotations, options.images)
    results = [_crop(d, options.images) for d in with_progress(dataset_dicts, "cropping", "image")]
    lesions = sum(len(d["annotations"]) for d in dataset_dicts)
    not_found = [result.name for result in results if not result.is_found]
    cut = {result.name: result.cut for result in results if result.cut}
    shares = [result.share for result in results]
    milliseconds = statistics.median(result.milliseconds for result in results)
    print(f"{counted(len(results), 'image')}, {counted(lesions, 'lesion')}")
    print(f"no breast found, kept whole: {len(not_found)} {' '.join(not_found)}")
    print(f"lesion boxes that are cut: {sum(map(len, cut.values()))}")
    for name, boxes in cut.items():
        print(f"  {name}: {boxes}")
    print(f"share of the image that is kept: mean {statistics.mean(shares):.3f}, ", end="")
    print(f"from {min(shares):.3f} to {max(shares):.3f}")
    print(f"finding the breast: median {milliseconds:.1f} ms")
    if options.pictures:
        _write_sheets(options.pictures, [result.tile for result in results])
    figures = {"cut": cut, "not_found": not_found, "shares": shares, "milliseconds": milliseconds}
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
