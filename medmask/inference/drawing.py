"""Detections drawn on the image."""

from collections.abc import Sequence

import cv2
import numpy as np
from detectron2.structures import Instances
from detectron2.utils.colormap import colormap
from PIL import Image, ImageDraw

from medmask.calibration.settings import UNCALIBRATED
from medmask.inference.fonts import font_for

SHORTEST_SIDE = 600
"""Smaller images are enlarged, or the labels would cover what they name."""
LONGEST_SIDE = 2000
"""Larger images are reduced, whatever the shortest side then is: a screen shows no more."""
GROUND_TRUTH_COLOR = (77, 255, 77)

_LINE_WIDTH = 3
_FONT_SIZE = 20
_NOTE_SIZE, _NOTE_COLOR = 13, (190, 190, 190)
_DASH = 12


def draw_overlay(
    image: np.ndarray,
    detections: Instances,
    class_names: Sequence[str],
    ground_truth: np.ndarray | None = None,
    *,
    probabilities: np.ndarray | None = None,
) -> np.ndarray:
    """Draw detections with their classes and scores, or, in percent, their probabilities.

    Pillow draws on the image at its final size: matplotlib, on which Detectron2's ``Visualizer``
    draws, takes 13 s for a mammogram of 5000 x 6000 pixels, longer than the detection.

    Args:
        image: (H, W, 3) RGB in [0, 255], of any type; values out of range are clipped, NaN is
            black. Or what :func:`make_view` made of it.
        detections: with the image's size, ``pred_boxes`` in its pixels, ``scores`` and
            ``pred_classes``.
        class_names: by class.
        ground_truth: (T, 4) annotated boxes as (x0, y0, x1, y1), drawn dashed in green.
        probabilities: of each detection to lie on a lesion, in [0, 1]; None where the scores are
            not calibrated, which a line at the bottom then says if there are any.

    Returns:
        (H', W', 3) uint8 RGB. The shorter side is at least 600 pixels, unless the longer side would
        exceed 2000, which it never does.
    """
    scale = _view_scale(detections.image_size)
    canvas = Image.fromarray(resize(image, *_scaled(detections.image_size, scale)))
    draw = ImageDraw.Draw(canvas)
    for box in [] if ground_truth is None else np.asarray(ground_truth, dtype=float):
        _draw_dashed_box(draw, box * scale)
    # the highest score last, so that its label lies on top
    for i in reversed(range(len(detections))):
        index = int(detections.pred_classes[i])
        label = f"{class_names[index]} {_describe(detections, probabilities, i)}"
        box = detections.pred_boxes.tensor[i].double().cpu().numpy() * scale
        _draw_labeled_box(draw, box, label, _class_color(index))
    if len(detections) and probabilities is None:
        _draw_note(draw, UNCALIBRATED)
    return np.asarray(canvas)


def make_view(image: np.ndarray) -> np.ndarray:
    """Resize (H, W, 3) RGB in [0, 255], of any type, to the uint8 that overlays are drawn on.

    Of a mammogram of 16 bits it is a fifteenth of the bytes.
    """
    size = image.shape[:2]
    return resize(image, *_scaled(size, _view_scale(size)))


def _view_scale(size: tuple[int, int]) -> float:
    return min(max(1.0, SHORTEST_SIDE / min(size)), LONGEST_SIDE / max(size))


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _describe(detections: Instances, probabilities: np.ndarray | None, index: int) -> str:
    """A score looks unlike a probability."""
    if probabilities is None:
        return f"score {float(detections.scores[index]):.2f}"
    return f"{float(probabilities[index]):.0%}"


def _draw_note(draw: ImageDraw.ImageDraw, text: str) -> None:
    """A line at the lower left."""
    font = font_for(text, _NOTE_SIZE)
    _, _, right, bottom = draw.textbbox((0, 0), text, font=font)
    y = draw.im.size[1] - bottom - _LINE_WIDTH
    draw.rectangle((0, y - 2, right + 4, draw.im.size[1]), fill=(0, 0, 0))
    draw.text((2, y - 1), text, fill=_NOTE_COLOR, font=font)


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) of any type -> (height, width, 3) uint8."""
    if image.dtype != np.uint8:
        image = np.clip(image.astype(np.float32, copy=False), 0, 255)
    if (height, width) != image.shape[:2]:
        shrinks = height * width < image.shape[0] * image.shape[1]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, height), interpolation=interpolation)
    if image.dtype == np.uint8:
        return image
    return np.nan_to_num(image, nan=0.0).astype(np.uint8)


def _class_color(index: int) -> tuple[int, int, int]:
    colors = colormap(rgb=True, maximum=255)
    red, green, blue = colors[(index + 1) % len(colors)]  # from orange on
    return int(red), int(green), int(blue)


def _draw_labeled_box(
    draw: ImageDraw.ImageDraw,
    box: np.ndarray,
    label: str,
    color: tuple[int, int, int],
) -> None:
    """A box with its label above it, or below its upper edge where the image ends."""
    # Pillow goes along every pixel of a line, also where a faulty file has it end far outside
    box = np.clip(box, -_LINE_WIDTH, np.tile(draw.im.size, 2) + _LINE_WIDTH)
    draw.rectangle(box.tolist(), outline=color, width=_LINE_WIDTH)
    font = font_for(label, _FONT_SIZE)
    left, top, right, bottom = draw.textbbox((0, 0), label, font=font)
    x, y = float(box[0]), float(box[1]) - bottom - _LINE_WIDTH
    x, y = max(0.0, min(x, draw.im.size[0] - right)), max(0.0, y)
    draw.rectangle((x + left, y + top - 2, x + right + 2, y + bottom + 2), fill=(0, 0, 0))
    draw.text((x + 1, y), label, fill=color, font=font)


def _draw_dashed_box(draw: ImageDraw.ImageDraw, box: np.ndarray) -> None:
    x0, y0, x1, y1 = box.tolist()
    for x in np.arange(x0, x1, 2 * _DASH):
        end = min(x + _DASH, x1)
        draw.line((x, y0, end, y0), fill=GROUND_TRUTH_COLOR, width=_LINE_WIDTH)
        draw.line((x, y1, end, y1), fill=GROUND_TRUTH_COLOR, width=_LINE_WIDTH)
    for y in np.arange(y0, y1, 2 * _DASH):
        end = min(y + _DASH, y1)
        draw.line((x0, y, x0, end), fill=GROUND_TRUTH_COLOR, width=_LINE_WIDTH)
        draw.line((x1, y, x1, end), fill=GROUND_TRUTH_COLOR, width=_LINE_WIDTH)
