#!/usr/bin/env python3
"""Time the FROC evaluation on random detections, step by step."""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from options import make_parser, positive, write_figures
from tabulate import tabulate

from medmask.evaluation import (
    EvaluationSettings,
    average_precision,
    evaluate_detections,
    read_detections,
    read_ground_truth,
)
from medmask.utils.command_line import command_line_tool

_EXAMPLES = """\
  python benchmarks/froc.py --images 200 --detections 300
"""


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "--images", type=positive, default=200, metavar="N", help="with ground truth (default 200)"
    )
    parser.add_argument(
        "--detections", type=positive, default=300, metavar="N", help="of each image (default 300)"
    )
    return parser


def _write_random_files(folder: Path, num_images: int, per_image: int) -> tuple[Path, Path]:
    """Write ground truth with a lesion in every second image, four images a patient."""
    random = np.random.default_rng(0)
    images = [
        {
            "id": i,
            "width": 2000,
            "height": 2600,
            "patient_id": f"P{i // 4}",
            "laterality": "LR"[i // 2 % 2],
        }
        for i in range(num_images)
    ]
    lesions = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": box}
        for i, box in enumerate(_random_boxes(random, num_images))
        if i % 2 == 0
    ]
    total = num_images * per_image
    boxes, scores = _random_boxes(random, total), random.beta(0.5, 6, total).tolist()
    detections = [
        {"image_id": i // per_image, "category_id": 1, "bbox": boxes[i], "score": scores[i]}
        for i in range(total)
    ]
    ground_truth_file, detection_file = folder / "ground_truth.json", folder / "detections.json"
    categories = [{"id": 1, "name": "malignant"}]
    content = {"images": images, "annotations": lesions, "categories": categories}
    ground_truth_file.write_text(json.dumps(content))
    detection_file.write_text(json.dumps(detections))
    return ground_truth_file, detection_file


def _random_boxes(random: np.random.Generator, count: int) -> list[list[float]]:
    corners, sizes = (
        random.uniform((0, 0), (1700, 2300), (count, 2)),
        random.uniform(20, 300, (count, 2)),
    )
    return np.concatenate([corners, sizes], axis=1).tolist()


def _milliseconds(step: Callable[[], object], repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - start))
    return times


def _steps(ground_truth_file: Path, detection_file: Path) -> dict[str, Callable[[], object]]:
    """Functions to time, by name."""
    ground_truth = read_ground_truth(ground_truth_file)
    detections = read_detections(detection_file, ground_truth)
    plain, resampled = EvaluationSettings(bootstrap=0), EvaluationSettings(bootstrap=1000)
    return {
        "read both files": lambda: read_detections(
            detection_file, read_ground_truth(ground_truth_file)
        ),
        "suppression, FROC, AUC, F1": lambda: evaluate_detections(ground_truth, detections, plain),
        "the same with 1000 resamples": lambda: evaluate_detections(
            ground_truth, detections, resampled
        ),
        "COCO AP": lambda: average_precision(ground_truth, detections),
    }


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = _write_random_files(Path(folder), options.images, options.detections)
        times = {
            name: _milliseconds(step, options.repeats) for name, step in _steps(*files).items()
        }
    print(f"{options.images} images x {options.detections} detections")
    rows = [(name, statistics.median(x), min(x), max(x)) for name, x in times.items()]
    headers = ["step", "median ms", "fastest ms", "slowest ms"]
    print(tabulate(rows, headers, "github", floatfmt=".1f"))
    write_figures(options.json, {"milliseconds": times})


if __name__ == "__main__":
    main()
