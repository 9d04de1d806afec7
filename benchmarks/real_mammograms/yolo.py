"""YOLO11n as a peer: training and testing of one cell by the command line of ``ultralytics``.

Its license, AGPL-3.0, keeps it out of this project and its environment. So it is called as a
program of an environment of its own; only files go there and come back:

  python3 -m venv yolo && yolo/bin/pip install ultralytics
  python benchmarks/detectors.py --methods yolo11n --yolo yolo/bin/yolo --minutes 15

It gets the images as our detector sees them, cropped and resized, augments them by its own recipe,
and starts from scratch or from weights of its own (``--yolo-weights yolo11n.pt``).
"""

import csv
import math
import os
import shutil
import subprocess
from pathlib import Path

from detectron2.data import MetadataCatalog
from detectron2.data.transforms import Augmentation
from omegaconf import DictConfig

from medmask.config.building import build
from medmask.data.loaders import load_dataset_dicts
from medmask.data.mapper import DetectionMapper
from medmask.errors import InputError
from medmask.evaluation import FROCEvaluator
from medmask.modeling.postprocessing import to_original_image
from real_mammograms.order import Order, detections_file
from real_mammograms.yolo_files import read_detections, write_description, write_images

_STRIDE = 32
_OF_OUR_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def train(order: Order, config: DictConfig) -> None:
    """Train a cell, and leave its weights and its record."""
    if order.minutes is None:
        raise InputError("yolo11n is trained for minutes: give --minutes")
    folder = _folder(order)
    dataset = config.dataloader.train.dataset
    images = load_dataset_dicts(dataset)
    mapper = DetectionMapper(with_boxes=True, augmentation=_test_augmentation(config))
    samples = write_images(images, mapper, folder / "train")
    data = write_description(folder / "train", MetadataCatalog.get(dataset).thing_classes)
    batch_size = config.dataloader.train.total_batch_size
    _call(
        order,
        "train",
        model=order.yolo_weights or "yolo11n.yaml",
        data=data,
        imgsz=_side(samples),
        batch=batch_size,
        time=order.minutes / 60,  # hours
        workers=config.dataloader.train.num_workers,
        seed=config.train.seed,
        val=False,
        plots=False,
        name="run",
    )
    epochs, seconds = _read_progress(folder / "run" / "results.csv")
    order.write_record(
        model="last",
        steps=epochs * math.ceil(len(images) / batch_size),
        minutes=seconds / 60,
        elapsed_minutes=seconds / 60,
        batch_size=batch_size,
        images=len(images),
    )


def test(order: Order, config: DictConfig) -> None:
    """Detect in the images of each test that has no detections yet."""
    folder = _folder(order)
    for name in order.tests:
        file = detections_file(order.folder, name)
        if file.is_file():
            continue
        dataset = order.cell.test_set(name)
        mapper = DetectionMapper(with_boxes=False, augmentation=_test_augmentation(config))
        samples = write_images(load_dataset_dicts(dataset), mapper, folder / name)
        # it appends to what a test that was interrupted has left
        shutil.rmtree(folder / f"{name}_detections", ignore_errors=True)
        _call(
            order,
            "predict",
            model=folder / "run" / "weights" / "last.pt",
            source=folder / name / "images",
            imgsz=_side(samples),
            conf=0.001,
            iou=0.5,
            max_det=60,
            save=False,
            save_txt=True,
            save_conf=True,
            name=f"{name}_detections",
        )
        evaluator = FROCEvaluator(dataset, output_dir=str(file.parent))
        evaluator.reset()
        labels = folder / f"{name}_detections" / "labels"
        for index, sample in enumerate(samples):
            instances = read_detections(labels / f"{index:06d}.txt", sample["size"])
            evaluator.process([sample], [{"instances": to_original_image(instances, sample)}])
        evaluator.evaluate()


def _folder(order: Order) -> Path:
    """The folder of its files: absolute, as the program runs in another one than this process."""
    return (order.folder / "yolo").absolute()


def _test_augmentation(config: DictConfig) -> Augmentation:
    return build(config, "dataloader.test.mapper.augmentation", Augmentation)


def _side(samples: list[dict]) -> int:
    """The least side of a square that YOLO takes and every image fits in."""
    longest = max(max(sample["size"]) for sample in samples)
    return _STRIDE * math.ceil(longest / _STRIDE)


def yolo_environment() -> dict[str, str]:
    """The environment variables without those that would lead YOLO's Python to our packages."""
    return {name: text for name, text in os.environ.items() if name not in _OF_OUR_PYTHON}


def _call(order: Order, mode: str, **settings: object) -> None:
    """Call the command line.

    Raises:
        InputError: it cannot be called, or fails.
    """
    if not order.yolo:
        raise InputError("yolo11n needs --yolo, the program of its own environment; see --help")
    settings |= {"project": _folder(order), "exist_ok": True, "device": "cpu"}
    command = [order.yolo, "detect", mode, *(f"{name}={value}" for name, value in settings.items())]
    try:
        process = subprocess.Popen(command, env=yolo_environment(), cwd=order.folder)
    except OSError as error:
        raise InputError(f"--yolo {order.yolo} cannot be run: {error.strerror}") from None
    try:
        status = process.wait()
    finally:  # a signal that stops us stops it
        if process.poll() is None:
            process.terminate()
            process.wait()
    if status:
        raise InputError(f"{' '.join(command)} failed with status {status}")


def _read_progress(path: Path) -> tuple[int, float]:
    """Epochs and seconds of a training, of the file that YOLO leaves."""
    try:
        with open(path, newline="") as file:
            rows = [{k.strip(): v for k, v in row.items()} for row in csv.DictReader(file)]
        return len(rows), float(rows[-1]["time"])
    except (OSError, KeyError, IndexError, ValueError):
        raise InputError(f"{path} tells no epochs and times, as YOLO's training does") from None
