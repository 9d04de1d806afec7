#!/usr/bin/env python3
"""Shares of the time of predictions, and how near the whole comes to the model alone.

For each number of workers the images are predicted on, without pictures, into an empty folder. The
table gives for an image, in milliseconds: reading (decoding and preparing, in whichever process),
waiting of the model's process for images, the model, writing; and images a second, start of the
workers included, as a share of what the model alone does on images that are in memory already.

With --peers the same follows for other detectors on the same pixels: Detectron2's RetinaNet with
our backbone, in the same pipeline; and YOLO11n by its own command line, which gets PNG files of
what our reader makes, and so decodes no DICOM, and counts its start.

--links N predicts on N links to the images, and tells how memory grows from the first quarter of
them to the last; --plan-rows N plans a run over a manifest of N rows that names no file there is.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from options import make_parser, positive, write_figures
from prediction_timing.memory import measure_memory
from prediction_timing.peers import RetinaNetDetector, time_yolo
from prediction_timing.planning import time_plan

from medmask.engine.device import select_device
from medmask.errors import InputError
from medmask.inference import (
    MedMaskPredictor,
    PredictionImage,
    PredictionOptions,
    WorkList,
    predict_images,
)
from medmask.inference.batches import batch_by_size
from medmask.inference.detector import Detector
from medmask.inference.image_reader import ReadImage
from medmask.inference.reading_ahead import AheadReader
from medmask.utils.command_line import command_line_tool
from medmask.utils.counts import counted

_EXAMPLES = """\
  python benchmarks/predict.py archive.csv --checkpoint output/demo/alignment/model_final.pth
  python benchmarks/predict.py scans/ --checkpoint model_best.pth --workers 0 1 2 4 --images 200
  python benchmarks/predict.py scans/ --checkpoint model_best.pth --peers retinanet yolo11n \\
      --yolo yolo/bin/yolo
  python benchmarks/predict.py scans/ --checkpoint model_best.pth --workers --links 20000 \\
      --plan-rows 1000000
"""
_COLUMNS = ("reading", "waiting", "model", "writing")
_PEERS = ("retinanet", "yolo11n")
_IN_MEMORY = 16  # images that the model alone is timed on


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, _EXAMPLES)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="as for medmask predict")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--images", type=positive, default=100, metavar="N", help="at most (default 100)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        nargs="*",
        default=[0, 1, 2],
        metavar="W",
        help="rows of the table (default 0 1 2; none leaves the table out)",
    )
    parser.add_argument("--batch-size", type=positive, default=1, metavar="B", help="(default 1)")
    parser.add_argument(
        "--peers", nargs="+", choices=_PEERS, default=[], metavar="NAME", help=", ".join(_PEERS)
    )
    parser.add_argument("--yolo", metavar="FILE", help="program of an environment with ultralytics")
    parser.add_argument(
        "--yolo-weights", default="yolo11n.yaml", metavar="FILE", help="(default drawn at random)"
    )
    parser.add_argument("--links", type=positive, metavar="N", help="to look at memory with")
    parser.add_argument("--plan-rows", type=positive, metavar="N", help="of a manifest to plan")
    parser.set_defaults(repeats=3)
    return parser


def _read(detector: Detector, images: list[PredictionImage]) -> list[Any]:
    """Read a few images into memory.

    Raises:
        InputError: none of them can be read.
    """
    reader = AheadReader(detector.reader, workers=0, with_view=False)
    readings = list(reader.read(enumerate(images[:_IN_MEMORY])))
    readings = [reading for reading in readings if isinstance(reading.result, ReadImage)]
    if not readings:
        raise InputError("none of the first images can be read: give other images")
    return readings


def _time_model(detector: Detector, readings: list[Any], batch_size: int) -> float:
    """Images a second of the model alone, on images in memory."""
    batches = [
        [reading.result.model_input for reading in batch]
        for batch in batch_by_size(readings, batch_size)
    ]
    detector.detect(batches[0])  # what only the first call does is not counted
    start = time.perf_counter()
    for batch in batches:
        detector.detect(batch)
    return len(readings) / (time.perf_counter() - start)


def _time_pipeline(
    detector: Detector, images: list[PredictionImage], options: PredictionOptions
) -> dict[str, float]:
    """Milliseconds an image of each stage, and images a second of the whole."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        summary = predict_images(detector, images, Path(folder), options=options)
        seconds = time.perf_counter() - start
    done = summary.statuses["done"]
    if not done:
        raise InputError(f"no image can be predicted on: {summary.problems[0]}")
    figures = {name: 1000 * getattr(summary.seconds, name) / done for name in _COLUMNS}
    return figures | {"images_per_second": done / seconds}


def _measure_table(
    detectors: dict[str, Detector], images: list[PredictionImage], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Rows of detectors and numbers of workers; all take turns, so that all are slowed alike."""
    readings = {name: _read(detector, images) for name, detector in detectors.items()}
    rates: dict[str, list[float]] = {name: [] for name in detectors}
    keys = list(itertools.product(detectors, options.workers))
    turns: dict[tuple[str, int], list[dict[str, float]]] = {key: [] for key in keys}
    for _ in range(options.repeats):
        for name, detector in detectors.items():
            rates[name].append(_time_model(detector, readings[name], options.batch_size))
        for name, workers in keys:
            chosen = PredictionOptions(
                overlays=False, workers=workers, batch_size=options.batch_size
            )
            turns[name, workers].append(_time_pipeline(detectors[name], images, chosen))
    rows: list[dict[str, Any]] = []
    for (name, workers), figures in turns.items():
        row = {column: statistics.median(turn[column] for turn in figures) for column in figures[0]}
        rate = statistics.median(rates[name])
        rows.append(
            {
                "detector": name,
                "workers": workers,
                **row,
                "model_images_per_second": rate,
                "share_of_model": row["images_per_second"] / rate,
            }
        )
    return rows


def _measure_yolo(
    detector: Detector, images: list[PredictionImage], options: argparse.Namespace
) -> dict[str, Any]:
    if not options.yolo:
        raise InputError("the peer yolo11n needs --yolo, the program of its own environment")
    inputs = [reading.result.model_input for reading in _read(detector, images)]
    turns = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            program = str(Path(options.yolo).absolute())
            weights = options.yolo_weights
            if Path(weights).is_file():
                weights = str(Path(weights).absolute())
            turns.append(time_yolo(program, weights, inputs, Path(folder), torch.get_num_threads()))
    row = {column: statistics.median(turn[column] for turn in turns) for column in turns[0]}
    return {"detector": "yolo11n", "workers": None, **row}


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    print(
        f"{'detector':>9} {'workers':>7} "
        + " ".join(f"{name:>8}" for name in _COLUMNS)
        + f" {'images/s':>9} {'model/s':>9} {'share':>6}"
    )
    for row in rows:
        rate, share = row.get("model_images_per_second"), row.get("share_of_model")
        workers = row["workers"]
        print(
            f"{row['detector']:>9} {'-' if workers is None else workers:>7} "
            + " ".join(f"{row[name]:>8.1f}" if name in row else f"{'-':>8}" for name in _COLUMNS)
            + f" {row['images_per_second']:>9.2f} "
            + (f"{rate:>9.2f} {share:>6.0%}" if rate else f"{'-':>9} {'-':>6}")
        )


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    images = list(itertools.islice(WorkList(options.inputs), options.images))
    select_device(options.device, "--device")
    predictor = MedMaskPredictor(
        options.checkpoint.with_name("config.yaml"),
        options.checkpoint,
        [f"train.device={options.device}"],
    )
    detectors: dict[str, Detector] = {"medmask": predictor}
    if "retinanet" in options.peers:
        detectors["retinanet"] = RetinaNetDetector(predictor)
    figures: dict[str, Any] = {"images": len(images)}
    if options.workers:
        figures["pipeline"] = _measure_table(detectors, images, options)
        if "yolo11n" in options.peers:
            figures["pipeline"].append(_measure_yolo(predictor, images, options))
        height, width = _read(predictor, images)[0].result.model_input["image"].shape[1:]
        print(
            f"{counted(len(images), 'image')}; the model sees {width} x {height} pixels of the "
            "first"
        )
        _print_table(figures["pipeline"])
    if options.links:
        with tempfile.TemporaryDirectory() as folder:
            chosen = PredictionOptions(
                overlays=False,
                workers=max(options.workers, default=2),
                batch_size=options.batch_size,
            )
            figures["memory"] = measure_memory(
                predictor, images, options.links, Path(folder), chosen
            )
        for done, mib in figures["memory"]["samples"]:
            print(f"{done:>9} images: {mib:8.0f} MiB")
        print(f"growth from the first quarter on: {figures['memory']['growth_mib']:.1f} MiB")
    if options.plan_rows:
        with tempfile.TemporaryDirectory() as folder:
            plan = figures["plan"] = time_plan(options.plan_rows, Path(folder))
        print(
            f"{plan['rows']} rows of a manifest are planned in {plan['seconds']:.1f} s, "
            f"{plan['mib']:.0f} MiB"
        )
    write_figures(options.json, figures)


if __name__ == "__main__":
    main()
