#!/usr/bin/env python3
"""Shares of the time of predictions, and how near the whole comes to the model alone.

For each number of workers the images are predicted on, without pictures, into an empty folder. The
table gives for an image, in milliseconds: reading (decoding and preparing, in whichever process),
waiting of the model's process for images, the model, writing; and images a second, start of the
workers included, as a share of what the model alone does on images that are in memory already.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from options import make_parser, positive, write_figures

from medmask.errors import InputError
from medmask.inference import (
    MedMaskPredictor,
    PredictionImage,
    PredictionOptions,
    WorkList,
    predict_images,
)
from medmask.inference.batches import batch_by_size
from medmask.inference.image_reader import ReadImage
from medmask.inference.reading_ahead import AheadReader
from medmask.utils.command_line import command_line_tool

_EXAMPLES = """\
  python benchmarks/predict.py archive.csv --checkpoint output/demo/expert/model_final.pth
  python benchmarks/predict.py scans/ --checkpoint model_best.pth --workers 0 1 2 4 --images 200
"""
_COLUMNS = ("reading", "waiting", "model", "writing")


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, _EXAMPLES)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="as for medmask predict")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--images", type=positive, default=100, metavar="N", help="at most (default 100)"
    )
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[0, 1, 2], metavar="W", help="(default 0 1 2)"
    )
    parser.add_argument("--batch-size", type=positive, default=1, metavar="B", help="(default 1)")
    parser.set_defaults(repeats=3)
    return parser


def _time_model(
    predictor: MedMaskPredictor, images: list[PredictionImage], batch_size: int
) -> float:
    """Images a second of the model alone, on at most 16 images in memory."""
    reader = AheadReader(predictor.reader, workers=0, with_view=False)
    readings = reader.read(enumerate(images[:16]))
    batches = [
        [reading.result.model_input for reading in batch if isinstance(reading.result, ReadImage)]
        for batch in batch_by_size(readings, batch_size)
    ]
    batches = [batch for batch in batches if batch]
    if not batches:
        raise InputError("none of the first images can be read: give other images")
    predictor.detect(batches[0])  # what only the first call does is not counted
    start = time.perf_counter()
    for batch in batches:
        predictor.detect(batch)
    return sum(map(len, batches)) / (time.perf_counter() - start)


def _time_pipeline(
    predictor: MedMaskPredictor, images: list[PredictionImage], options: PredictionOptions
) -> dict[str, float]:
    """Milliseconds an image of each stage, and images a second of the whole."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        summary = predict_images(predictor, images, Path(folder), options=options)
        seconds = time.perf_counter() - start
    done = summary.statuses["done"]
    if not done:
        raise InputError(f"no image can be predicted on: {summary.problems[0]}")
    figures = {name: 1000 * getattr(summary.seconds, name) / done for name in _COLUMNS}
    return figures | {"images_per_second": done / seconds}


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    images = list(itertools.islice(WorkList(options.inputs), options.images))
    predictor = MedMaskPredictor(
        options.checkpoint.with_name("config.yaml"),
        options.checkpoint,
        [f"train.device={options.device}"],
    )
    model_rates: list[float] = []
    turns: dict[int, list[dict[str, float]]] = {workers: [] for workers in options.workers}
    for _ in range(options.repeats):  # by turns, so that whatever else runs slows all alike
        model_rates.append(_time_model(predictor, images, options.batch_size))
        for workers in turns:
            chosen = PredictionOptions(
                overlays=False, workers=workers, batch_size=options.batch_size
            )
            turns[workers].append(_time_pipeline(predictor, images, chosen))
    model_rate = statistics.median(model_rates)
    print(f"{len(images)} images; the model alone: {model_rate:.2f} images a second")
    print(f"{'workers':>7} " + " ".join(f"{name:>8}" for name in _COLUMNS) + "  images/s  share")
    rows: list[dict[str, Any]] = []
    for workers, figures in turns.items():
        row = {name: statistics.median(turn[name] for turn in figures) for name in figures[0]}
        share = row["images_per_second"] / model_rate
        rows.append({"workers": workers, **row, "share_of_model": share})
        print(
            f"{workers:>7} "
            + " ".join(f"{row[name]:>8.1f}" for name in _COLUMNS)
            + f"  {row['images_per_second']:>8.2f}  {share:>4.0%}"
        )
    write_figures(
        options.json,
        {"images": len(images), "model_images_per_second": model_rate, "pipeline": rows},
    )


if __name__ == "__main__":
    main()
