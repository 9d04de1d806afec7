"""Images and boxes in the form that YOLO's command line reads, and detections in the one it writes.

A text file an image, a line a box: class, center x, center y, width and height as shares of the
image, and for detections the score.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from detectron2.structures import Boxes, Instances

from medmask.data.mapper import DetectionMapper
from medmask.errors import InputError
from medmask.utils.files import atomic_write


def write_images(
    dataset_dicts: Sequence[dict[str, Any]], mapper: DetectionMapper, folder: Path
) -> list[dict[str, Any]]:
    """Write what the mapper makes of each image, and its boxes if the mapper gives them.

    Args:
        dataset_dicts: of the images.
        mapper: crops and resizes; draws nothing at random.
        folder: gets ``images/000000.png``, ... and ``labels/000000.txt``, ...

    Returns:
        The samples without their pixels; ``size`` is (height, width) of the image that was written.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    samples = []
    for index, dataset_dict in enumerate(dataset_dicts):
        sample = mapper(dataset_dict)
        pixels = sample.pop("image").permute(1, 2, 0).numpy()
        pixels = np.clip(pixels, 0, 255).astype(np.uint8)[..., ::-1]
        _, data = cv2.imencode(".png", pixels)
        with atomic_write(folder / "images" / f"{index:06d}.png") as file:
            file.write(data.tobytes())
        sample["size"] = pixels.shape[:2]
        if "instances" in sample:
            with atomic_write(folder / "labels" / f"{index:06d}.txt", "w") as file:
                file.write(_to_lines(sample["instances"]))
        samples.append(sample)
    return samples


def write_description(folder: Path, class_names: Sequence[str]) -> Path:
    """Write the file that names the images and the classes; it is YAML, of which JSON is a part.

    YOLO wants images to validate on; training does without them, so they are the training's own.
    """
    path = folder / "data.yaml"
    names = dict(enumerate(class_names))
    content = {"path": str(folder.absolute()), "train": "images", "val": "images", "names": names}
    with atomic_write(path, "w") as file:
        json.dump(content, file)
    return path


def read_detections(path: Path, size: tuple[int, int]) -> Instances:
    """Read the detections of one image; a file that is absent says that there are none.

    Args:
        path: of the text file.
        size: (height, width) of the image.

    Returns:
        ``pred_boxes`` in pixels, ``scores`` and ``pred_classes``.

    Raises:
        InputError: a line is not class, box and score.
    """
    rows = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            numbers = [float(text) for text in line.split()]
        except ValueError:
            numbers = []
        if len(numbers) != 6:
            raise InputError(f"{path} holds the line '{line}', not class, box and score")
        rows.append(numbers)
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    height, width = size
    scale = torch.tensor([width, height], dtype=torch.float64)
    center, half = table[:, 1:3] * scale, table[:, 3:5] * scale / 2
    return Instances(
        size,
        pred_boxes=Boxes(torch.cat([center - half, center + half], dim=1)),
        scores=table[:, 5].clamp(0, 1),
        pred_classes=table[:, 0].long(),
    )


def _to_lines(instances: Instances) -> str:
    height, width = instances.image_size
    boxes = instances.gt_boxes.tensor.double() / torch.tensor([width, height] * 2)
    centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    lines = []
    for label, box in zip(
        instances.gt_classes.tolist(), torch.cat([centers, sides], dim=1).tolist(), strict=True
    ):
        lines.append(" ".join([str(label), *(f"{value:.6f}" for value in box)]))
    return "".join(f"{line}\n" for line in lines)
