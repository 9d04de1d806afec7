"""Comparison of a graph's detections with those of PyTorch.

A batch may have near ties, which the last bits of a sum decide, and neither order is wrong. So each
detection of the graph must be one that PyTorch could choose from, any only once, and the scores in
descending order must be PyTorch's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from detectron2.structures import Instances
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from medmask.modeling import MedMask
from medmask.modeling.postprocessing import select_detections
from medmask.modeling.proposals import REJECTED_LOGIT
from medmask.modeling.transformer import TransformerOutput

TOLERANCE = 1e-4
"""Of scores, and of box corners as shares of the image's sides."""

Size = tuple[int, int]
"""(height, width) in pixels"""
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Boxes (N, K, 4) in pixels, scores (N, K) and classes (N, K)"""

_DRAWS = 8
_CLEAR = 1e-4
"""Difference of two proposals' logits of which another order of additions makes no tie."""
_NO_MATCH = 1e6


@dataclass(frozen=True)
class Batch:
    """Images for a graph, and all that PyTorch could detect in them.

    Attributes:
        images: (N, 3, H, W), in [0, 255], with 255 in the padding.
        sizes: (N, 2) int64, (height, width) of each.
        candidates: of each image all pairs (query, class), by descending score.
        num_detections: K, that the model would choose.
    """

    images: Tensor
    sizes: Tensor
    candidates: list[Instances]
    num_detections: int

    def describe(self) -> str:
        """Name the images by number and size."""
        sizes = ", ".join(f"{height} x {width}" for height, width in self.sizes.tolist())
        return f"a batch of {len(self.sizes)} ({sizes} pixels)"


def batch_sizes(short_edge_length: int) -> list[list[Size]]:
    """The sizes of the images of each batch that is compared, from small to large.

    Odd sizes, one image and several of different aspects, and one as the test loader gives it.

    Args:
        short_edge_length: of the test loader, in pixels.
    """
    return [
        [(97, 65)],
        [(64, 120), (131, 75)],
        [(160, 96), (33, 41), (96, 160)],
        [(short_edge_length * 5 // 4, short_edge_length)],
    ]


def make_batch(model: MedMask, sizes: Sequence[Size]) -> Batch:
    """Draw images, and detect in them by PyTorch.

    Of a two-stage model, images are drawn anew if the last proposal that becomes a query is as good
    as the next one but for rounding: with the other, all queries would be others.

    Args:
        model: in evaluation mode, on the CPU.
        sizes: of the images.
    """
    for seed in range(_DRAWS):
        images = _draw_images(sizes, torch.Generator().manual_seed(seed))
        with torch.no_grad():
            batch = model.preprocess_image([{"image": image} for image in images])
            output = model.detect(batch)
            if _has_clear_proposals(output):
                break
    logits, boxes = output.decoder.logits[-1], output.decoder.boxes[-1]
    num_pairs = logits.shape[1] * logits.shape[2]
    candidates = select_detections(logits, boxes, sizes, num_pairs)
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    padded = [
        F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1]), value=255.0)
        for image in images
    ]
    num_detections = min(model.max_detections, num_pairs)
    return Batch(torch.stack(padded), torch.tensor(sizes), candidates, num_detections)


def _draw_images(sizes: Sequence[Size], generator: torch.Generator) -> list[Tensor]:
    """Clouds with some noise, as (3, H, W) in [0, 255]."""
    images = []
    for size in sizes:
        clouds = torch.rand(1, 3, 7, 5, generator=generator)
        clouds = F.interpolate(clouds, size=size, mode="bilinear", align_corners=False)[0]
        images.append(220 * clouds + 35 * torch.rand(3, *size, generator=generator))
    return images


def _has_clear_proposals(output: TransformerOutput) -> bool:
    """Tell whether no rounding can decide which proposals become queries."""
    num_queries = output.decoder.queries.shape[1]
    if output.proposals is None or num_queries >= output.proposals.logits.shape[1]:
        return True
    ranked = output.proposals.logits[..., 0].sort(dim=1, descending=True).values
    last, next_one = ranked[:, num_queries - 1], ranked[:, num_queries]
    # rejected tokens are exactly equal, and their order is fixed
    return bool(((last - next_one > _CLEAR) | (last <= REJECTED_LOGIT)).all())


def find_difference(outputs: Arrays, batch: Batch) -> float:
    """Compare detections with PyTorch's.

    Args:
        outputs: of the graph for the batch.
        batch: with PyTorch's answer.

    Returns:
        The greatest difference of a score, or of a box corner as a share of the image's side;
        infinite if the number of detections is another one or one of them has no counterpart.
    """
    boxes, scores, _ = outputs
    expected = len(batch.sizes), batch.num_detections
    if scores.shape != expected or not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
        return float("inf")
    images = zip(*outputs, batch.candidates, strict=True)
    return max(_difference_of_image(*image) for image in images)


def _difference_of_image(
    boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, candidates: Instances
) -> float:
    height, width = candidates.image_size
    sides = np.array([width, height, width, height])
    others = candidates.scores.double().numpy()
    of_boxes = boxes[:, None] - candidates.pred_boxes.tensor.double().numpy()
    cost = np.maximum(
        np.abs(scores[:, None] - others), np.abs(of_boxes / sides).max(-1)
    )  # (K, all)
    cost[classes[:, None] != candidates.pred_classes.numpy()] = _NO_MATCH
    matched = cost[linear_sum_assignment(cost)].max()
    ranked = np.abs(scores - others[: len(scores)]).max()
    return float("inf") if matched >= _NO_MATCH else float(max(matched, ranked))


def compare(run: Callable[[np.ndarray, np.ndarray], Arrays], batch: Batch) -> float:
    """Run a graph on a batch and compare; see :func:`find_difference`.

    Args:
        run: the graph: from images and sizes to its outputs.
        batch: with PyTorch's answer.
    """
    return find_difference(run(batch.images.numpy(), batch.sizes.numpy()), batch)
