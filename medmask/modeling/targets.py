"""Ground truth of a batch: checked, and in the coordinates that the detector predicts."""

from typing import Any

import torch
from torchvision.ops import box_convert

from medmask.errors import InputError
from medmask.modeling.boxes import DetectionTarget


def prepare_targets(
    samples: list[dict[str, Any]], num_classes: int, device: torch.device
) -> list[DetectionTarget]:
    """Express the ground truth as shares of the unpadded images.

    Args:
        samples: with ``image`` (3, H, W) and ``instances``, whose ``gt_boxes`` are in pixels of it.
        num_classes: that the model knows.
        device: where the targets are wanted.

    Raises:
        InputError: an image has no ground truth, or one that cannot be its own: of another size, of
            a class that the model does not know, or with a box that is none.
    """
    for sample in samples:
        _check(sample, num_classes)
    # All at once: a few operations a batch instead of a few an image.
    instances = [sample["instances"] for sample in samples]
    counts = [len(i) for i in instances]
    sizes = torch.tensor([i.image_size[::-1] * 2 for i in instances])  # (w, h, w, h)
    corners = torch.cat([i.gt_boxes.tensor for i in instances])
    extents = corners[:, 2:] - corners[:, :2]
    if not ((extents >= 0) & extents.isfinite()).all():
        _refuse_box(samples)
    boxes = box_convert(corners, "xyxy", "cxcywh")
    boxes /= sizes.repeat_interleave(torch.tensor(counts), dim=0).to(boxes.device)
    labels = torch.cat([i.gt_classes for i in instances])
    labels, boxes = labels.to(device, torch.int64), boxes.to(device)
    return [
        DetectionTarget(*target)
        for target in zip(labels.split(counts), boxes.split(counts), strict=True)
    ]


def _check(sample: dict[str, Any], num_classes: int) -> None:
    instances = sample.get("instances")
    if instances is None or not (instances.has("gt_boxes") and instances.has("gt_classes")):
        raise InputError(
            f"{_name(sample)} has no instances with gt_boxes and gt_classes, which training needs: "
            "give them (none are legal), or call the model's eval() first to detect"
        )
    size = tuple(sample["image"].shape[-2:])
    if tuple(instances.image_size) != size:
        raise InputError(
            f"{_name(sample)} is {_size(size)} pixels (height x width), but its instances are of "
            f"{_size(instances.image_size)}: make Instances of the image's size after all "
            "augmentation, with boxes in its pixels"
        )
    classes = instances.gt_classes
    if classes.is_floating_point():
        raise InputError(
            f"{_name(sample)} has gt_classes of {classes.dtype}: make them torch.int64, as they "
            "are indices"
        )
    if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
        raise InputError(
            f"{_name(sample)} has objects of the classes {sorted(set(classes.tolist()))}, but the "
            f"model knows 0 to {num_classes - 1}: set model.transformer.num_classes (yacs: "
            "MODEL.MEDMASK.NUM_CLASSES)"
        )


def _refuse_box(samples: list[dict[str, Any]]) -> None:
    for sample in samples:
        for box in sample["instances"].gt_boxes.tensor:
            extent = box[2:] - box[:2]
            if not ((extent >= 0) & extent.isfinite()).all():
                raise InputError(
                    f"{_name(sample)} has the box {[round(x, 2) for x in box.tolist()]}: give "
                    "gt_boxes as finite (x0, y0, x1, y1) in pixels with x0 <= x1 and y0 <= y1 "
                    "(BoxMode.convert makes them of x, y, width and height)"
                )


def _name(sample: dict[str, Any]) -> str:
    return str(sample.get("file_name", "an image"))


def _size(size: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in size)
