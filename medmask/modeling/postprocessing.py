"""Detections in pixels: selected from the last decoder layer, mapped to the original image."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.layers import batched_nms
from detectron2.structures import Boxes, Instances
from torch import Tensor
from torchvision.ops import box_convert

from medmask.errors import InputError


def select_detections(
    logits: Tensor,
    boxes: Tensor,
    image_sizes: Sequence[tuple[int, int]],
    max_detections: int,
    nms_iou: float | None = None,
) -> list[Instances]:
    """Take the pairs (query, class) with the highest scores of each image.

    Args:
        logits: (N, Q, classes).
        boxes: (N, Q, 4) float32 as (cx, cy, w, h) in [0, 1].
        image_sizes: N sizes (height, width) in pixels that the boxes are scaled to.
        max_detections: at most so many pairs an image.
        nms_iou: of :func:`suppress_overlaps` among these pairs; None for none.

    Returns:
        N ``Instances`` with ``pred_boxes``, ``scores`` in [0, 1] and ``pred_classes``, by
        descending score. Boxes are clipped to the image.

    Raises:
        InputError: a score or a box is not finite.
    """
    if not (logits.isfinite().all() and boxes.isfinite().all()):
        raise InputError(
            "the model predicted boxes or scores that are not finite: its weights are broken, the "
            "training that left them has diverged, or an image has values that are not finite"
        )
    scores = logits.float().sigmoid().flatten(1)  # (N, Q * classes)
    scores, pairs = scores.topk(min(max_detections, scores.shape[1]), dim=1)
    num_classes = logits.shape[-1]
    queries = pairs // num_classes
    corners = box_convert(boxes, "cxcywh", "xyxy")
    corners = corners.gather(1, queries[..., None].expand(-1, -1, 4))
    detections = []
    for i, (height, width) in enumerate(image_sizes):
        pred_boxes = Boxes(corners[i] * corners.new_tensor([width, height, width, height]))
        pred_boxes.clip((height, width))
        selected = Instances(
            (height, width),
            pred_boxes=pred_boxes,
            scores=scores[i],
            pred_classes=pairs[i] % num_classes,
        )
        detections.append(suppress_overlaps(selected, nms_iou))
    return detections


def suppress_overlaps(detections: Instances, nms_iou: float | None) -> Instances:
    """Suppress boxes that overlap a kept one of their class and of a higher score.

    Args:
        detections: with ``pred_boxes``, ``scores`` and ``pred_classes``.
        nms_iou: a box of a greater intersection over union goes, in [0, 1]; None keeps all.

    Returns:
        What is kept, by descending score.
    """
    if nms_iou is None:
        return detections
    boxes, scores = detections.pred_boxes.tensor, detections.scores
    return detections[batched_nms(boxes, scores, detections.pred_classes, nms_iou)]


def to_original_image(detections: Instances, sample: Mapping[str, Any]) -> Instances:
    """Map detections from a preprocessed image to the original one.

    What Detectron2's ``detector_postprocess`` does for images that are only resized, this does for
    those that are cropped or mirrored as well.

    Args:
        detections: with ``pred_boxes`` in pixels of the preprocessed image, of size ``image_size``.
        sample: of the mapper, with ``height`` and ``width`` of the original image (left out, they
            are those of the preprocessed one) and ``original_corners`` (x0, y0, x1, y1), where the
            upper left and the lower right corner of the preprocessed image lie in the original one
            (left out, it shows all of it).

    Returns:
        The same detections in pixels of the original image, clipped to it; those of which nothing
        is left are dropped.

    Raises:
        InputError: the image was turned, so that no box of it is a box in the original image.
    """
    height, width = detections.image_size
    size = sample.get("height", height), sample.get("width", width)
    corners = sample.get("original_corners", (0, 0, size[1], size[0]))
    if corners is None:
        raise InputError(
            f"{sample.get('file_name', 'an image')} was turned by the augmentation, so detections "
            "in it have no box in the original image: leave rotations to dataloader.train"
        )
    x0, y0, x1, y1 = corners
    boxes = detections.pred_boxes.tensor
    scale = boxes.new_tensor([(x1 - x0) / width, (y1 - y0) / height] * 2)
    ends = boxes * scale + boxes.new_tensor([x0, y0] * 2)
    first, second = ends[:, :2], ends[:, 2:]
    pred_boxes = Boxes(torch.cat([first.minimum(second), first.maximum(second)], dim=1))
    pred_boxes.clip(size)
    fields = detections.get_fields() | {"pred_boxes": pred_boxes}
    return Instances(size, **fields)[pred_boxes.nonempty()]
