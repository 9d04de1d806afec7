"""Detections drawn on the image."""

from pathlib import Path

import cv2
import numpy as np
from detectron2.data import Metadata
from detectron2.structures import Instances
from detectron2.utils.visualizer import ColorMode, Visualizer

from medmask.utils.files import atomic_write

SHORTEST_SIDE = 600
"""Smaller images are enlarged, or the labels would cover what they name."""
GROUND_TRUTH_COLOUR = (0.3, 1.0, 0.3)


def draw_overlay(
    image: np.ndarray,
    detections: Instances,
    metadata: Metadata,
    ground_truth: np.ndarray | None = None,
) -> np.ndarray:
    """Draw detections with their classes and scores, by Detectron2's Visualizer.

    Args:
        image: (H, W, 3) RGB in [0, 255].
        detections: with ``pred_boxes`` in pixels of ``image``, ``scores`` and ``pred_classes``.
        metadata: gives ``thing_classes``.
        ground_truth: (T, 4) annotated boxes as (x1, y1, x2, y2), drawn dashed in green.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    scale = max(1.0, SHORTEST_SIDE / min(image.shape[:2]))
    visualizer = Visualizer(
        image.astype(np.uint8), metadata, scale=scale, instance_mode=ColorMode.IMAGE
    )
    for box in [] if ground_truth is None else ground_truth:
        visualizer.draw_box(box, edge_color=GROUND_TRUTH_COLOUR, line_style="--")
    return visualizer.draw_instance_predictions(detections.to("cpu")).get_image()


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB image, whole or not at all."""
    _, content = cv2.imencode(".png", image[:, :, ::-1])
    with atomic_write(path) as file:
        file.write(content.tobytes())
