"""Other detectors on the images that ours sees: the same pixels, at the same size."""

import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.structures import Instances
from real_mammograms.peers import LEVELS, build_retinanet
from real_mammograms.yolo import yolo_environment

from medmask.errors import InputError
from medmask.inference import MedMaskPredictor

_STRIDE = 32  # of YOLO: sides are multiples of it
_ANCHORS = (16.0, 32.0, 64.0, 128.0)  # pixels; speed does not depend on them
_SPEED = re.compile(
    r"Speed: ([0-9.]+)ms preprocess, ([0-9.]+)ms inference, ([0-9.]+)ms postprocess"
)


class RetinaNetDetector:
    """Detectron2's RetinaNet with the backbone of our detector, as a detector of the pipeline.

    Its weights are drawn at random, but for the backbone's: speed does not depend on them.
    """

    def __init__(self, predictor: MedMaskPredictor) -> None:
        """Build it for the images of our detector.

        Args:
            predictor: ours.
        """
        self.labels, self.reader = predictor.labels, predictor.reader
        self.weights_sha256 = "0" * 64
        model = predictor.config.model
        assert len(_ANCHORS) == len(LEVELS)
        self._model = instantiate(
            L(build_retinanet)(
                backbone=model.backbone,
                num_classes=model.transformer.num_classes,
                anchor_sizes=list(_ANCHORS),
                pixel_mean=model.pixel_mean,
                pixel_std=model.pixel_std,
            )
        )
        self._model.to(predictor.model.device).eval()

    def settings(self) -> dict[str, Any]:
        """Tell what it is."""
        return {"weights": "random", "detector": "retinanet"}

    def detect(self, inputs: Sequence[dict[str, Any]]) -> list[Instances]:
        """Detect; see :class:`medmask.inference.detector.Detector`."""
        with torch.no_grad():
            return [output["instances"].to("cpu") for output in self._model(list(inputs))]


def time_yolo(
    program: str, weights: str, inputs: Sequence[dict[str, Any]], folder: Path, threads: int
) -> dict[str, float]:
    """Time YOLO's own command line on images, one after the other.

    Args:
        program: of an environment of its own, see benchmarks/real_mammograms/yolo.py.
        weights: of the model, or ``yolo11n.yaml`` for weights drawn at random.
        inputs: of our model, whose ``image`` are written as PNG.
        folder: an empty folder for the images and what it writes.
        threads: that it may compute with.

    Returns:
        Milliseconds an image, by its own clocks: ``reading`` (preparation; it does not count
        decoding), ``model``, ``writing`` (suppression); and ``images_per_second`` of the whole.

    Raises:
        InputError: it cannot be called, or fails.
    """
    (folder / "images").mkdir()
    for index, sample in enumerate(inputs):
        pixels = sample["image"].permute(1, 2, 0).numpy()
        pixels = np.clip(pixels, 0, 255).astype(np.uint8)[..., ::-1]
        cv2.imwrite(str(folder / "images" / f"{index:06d}.png"), pixels)
    longest = max(max(sample["image"].shape[1:]) for sample in inputs)
    settings = {
        "model": weights,
        "source": folder / "images",
        "imgsz": _STRIDE * -(-longest // _STRIDE),
        "conf": 0.001,
        "max_det": 60,
        "device": "cpu",
        "batch": 1,
        "save": False,
        "save_txt": True,
        "project": folder,
    }
    command = [program, "detect", "predict", *(f"{k}={v}" for k, v in settings.items())]
    environment = yolo_environment() | {"OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    try:
        result = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True
        )
    except OSError as error:
        raise InputError(f"--yolo {program} cannot be run: {error.strerror}") from None
    seconds = time.perf_counter() - start
    speed = _SPEED.search(result.stdout + result.stderr)
    if result.returncode or speed is None:
        last = (result.stderr.strip() or result.stdout.strip() or "no message").splitlines()[-1]
        raise InputError(f"{' '.join(command)} failed: {last}")
    reading, model, writing = map(float, speed.groups())
    return {
        "reading": reading,
        "model": model,
        "writing": writing,
        "images_per_second": len(inputs) / seconds,
    }
