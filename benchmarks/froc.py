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
from tabulate import tabulate

from medmask.errors import command_line_tool
from medmask.evaluation import (
    EvaluationSettings,
    average_precision,
    evaluate_detections,
    read_detections,
    read_ground_truth,
)

_EXAMPLE = """
example:
  python benchmarks/froc.py --images 200 --detections 300
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=200, help="images (default 200)")
    parser.add_argument(
        "--detections", type=int, default=300, help="detections on each image (default 300)"
    )
    parser.add_argument("--repeats", type=int, default=7, help="runs of each step (default 7)")
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
    truth_file, detection_file = folder / "truth.json", folder / "detections.json"
    categories = [{"id": 1, "name": "malignant"}]
    content = {"images": images, "annotations": lesions, "categories": categories}
    truth_file.write_text(json.dumps(content))
    detection_file.write_text(json.dumps(detections))
    return truth_file, detection_file


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


@command_line_tool
def main() -> None:
    arguments = _parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        truth_file, detection_file = _write_random_files(
            Path(folder), arguments.images, arguments.detections
        )
        truth = read_ground_truth(truth_file)
        detections = read_detections(detection_file, truth)
        plain, resampled = EvaluationSettings(bootstrap=0), EvaluationSettings(bootstrap=1000)
        steps: dict[str, Callable[[], object]] = {
            "read both files": lambda: read_detections(
                detection_file, read_ground_truth(truth_file)
            ),
            "suppression, FROC, AUC, F1": lambda: evaluate_detections(truth, detections, plain),
            "the same with 1000 resamples": lambda: evaluate_detections(
                truth, detections, resampled
            ),
            "COCO AP (pycocotools)": lambda: average_precision(truth, detections),
        }
        rows = []
        for name, step in steps.items():
            times = _milliseconds(step, arguments.repeats)
            rows.append([name, statistics.median(times), min(times), max(times)])
    print(f"{arguments.images} images x {arguments.detections} detections")
    print(tabulate(rows, headers=["step", "median ms", "min", "max"], floatfmt=".1f"))


if __name__ == "__main__":
    main()
