"""Arithmetic of boxes in pixels, in float64 so that a file and a model's output give one result."""

import numpy as np

# Boxes of a file may be so large that their areas overflow: then they overlap nothing.
_may_overflow = np.errstate(over="ignore", invalid="ignore")


def to_xywh(boxes: np.ndarray) -> np.ndarray:
    """(R, 4) corners (x0, y0, x1, y1) -> (R, 4) as (x, y, width, height)."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


@_may_overflow
def to_xyxy(boxes: np.ndarray) -> np.ndarray:
    """(R, 4) as (x, y, width, height) -> (R, 4) corners (x0, y0, x1, y1)."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


@_may_overflow
def areas(boxes: np.ndarray) -> np.ndarray:
    """(R, 4) corners -> (R,) areas in square pixels."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


@_may_overflow
def intersections(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(R, 4), (R, 4) corners -> (R,) area that each box shares with the other of its pair."""
    width, height = (
        np.minimum(boxes[:, far], others[:, far]) - np.maximum(boxes[:, near], others[:, near])
        for near, far in ((0, 2), (1, 3))
    )
    return width.clip(min=0) * height.clip(min=0)


@_may_overflow
def shares(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """(R,), (R,) -> (R,) quotients, 0 where the whole is empty."""
    return np.divide(parts, wholes, out=np.zeros_like(parts), where=wholes > 0)


@_may_overflow
def pairwise_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(R, 4), (R, 4) corners -> (R,) intersection over union of each pair, in [0, 1]."""
    shared = intersections(boxes, others)
    return shares(shared, areas(boxes) + areas(others) - shared)
