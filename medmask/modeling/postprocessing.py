"""Detections in pixels, selected from the last decoder layer."""

from collections.abc import Sequence

from detectron2.structures import Boxes, Instances
from torch import Tensor
from torchvision.ops import box_convert

from medmask.errors import InputError


def select_detections(
    logits: Tensor, boxes: Tensor, image_sizes: Sequence[tuple[int, int]], max_detections: int
) -> list[Instances]:
    """Take the pairs (query, class) with the highest scores of each image.

    Args:
        logits: (N, Q, classes).
        boxes: (N, Q, 4) float32 as (cx, cy, w, h) in [0, 1].
        image_sizes: N sizes (height, width) in pixels that the boxes are scaled to.
        max_detections: at most so many pairs an image.

    Returns:
        N ``Instances`` with ``pred_boxes``, ``scores`` in [0, 1] and ``pred_classes``, by
        descending score. Boxes are clipped to the image.

    Raises:
        InputError: a score or a box is not finite.
    """
    if not (logits.isfinite().all() and boxes.isfinite().all()):
        raise InputError(
            "the model predicted boxes or scores that are not finite: its weights are broken, or "
            "the training that left them has diverged"
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
        detections.append(
            Instances(
                (height, width),
                pred_boxes=pred_boxes,
                scores=scores[i],
                pred_classes=pairs[i] % num_classes,
            )
        )
    return detections
