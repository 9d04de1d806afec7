"""Noised copies of ground-truth boxes: near ones to restore, and farther ones to turn down.

Contrastive denoising (DINO, Zhang et al., 2023, section 3.3), after DN-DETR (Li et al., 2022).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from medmask.errors import InputError
from medmask.modeling.boxes import DetectionTarget
from medmask.modeling.matcher import Matches, pad_targets

_SMALLEST = 1e-3
"""Side of the smallest noised box, as a share of the image."""


class NoisedBoxes(NamedTuple):
    """Q = 2 G T references for N images of up to T objects, in G groups; G T without far ones."""

    references: Tensor
    """(N, Q, 4) as (cx, cy, w, h) in [0, 1], group after group, in each the near ones first"""
    exists: Tensor
    """(N, Q) bool, False where the image has no such object"""
    attention_mask: Tensor
    """(N, Q, Q) bool, True between groups, which must not see each other's boxes, and where a query
    (row) must not see one that does not exist"""
    matches: Matches
    """each near one with its object"""


class BoxNoise:
    """Draws noised boxes: G groups of a near and a far copy of each object.

    With u and v uniform in [-1, 1], a box of size (w, h) moves by ``u * shift * (w, h)`` and its
    sides are multiplied by ``exp(v * log_scale)``. A far copy moves by one to two half sizes along
    either axis instead, so its center lies on or beyond the border of the box.
    """

    def __init__(
        self, *, num_groups: int = 8, shift: float = 0.25, log_scale: float = 0.4, far: bool = True
    ) -> None:
        """Choose the noise.

        Args:
            num_groups: G, at least 1.
            shift: largest move of a near copy along either axis, in sizes of the box; at least 0
                and below 0.5, so that its center stays inside.
            log_scale: largest logarithm of the factor of a side, at least 0.
            far: draw far copies, too; without them each group has near ones alone.

        Raises:
            InputError: a number is out of its range.
        """
        if num_groups < 1:
            raise InputError(f"num_groups of BoxNoise is {num_groups}, but must be at least 1")
        if not 0 <= shift < 0.5:
            raise InputError(f"shift of BoxNoise is {shift}, but must be in [0, 0.5)")
        if not 0 <= log_scale < float("inf"):
            raise InputError(f"log_scale of BoxNoise is {log_scale}, but must be at least 0")
        self.num_groups = num_groups
        self.shift = shift
        self.log_scale = log_scale
        self.far = far

    def __call__(self, targets: Sequence[DetectionTarget]) -> NoisedBoxes:
        """Draw for a batch; where it has no object at all, T is 1 and nothing exists."""
        device = targets[0].boxes.device
        counts = torch.tensor([len(t.labels) for t in targets], device=device)
        _, boxes = pad_targets(targets, device)
        if boxes.shape[1] == 0:
            boxes = boxes.new_zeros(len(targets), 1, 4)
        most = boxes.shape[1]
        exists = torch.arange(most, device=device) < counts[:, None]  # (N, T)

        num_copies = 2 if self.far else 1
        copies = [self._near(boxes)] + ([self._far(boxes)] if self.far else [])
        # (N, G, copies, T, 4) -> (N, Q, 4)
        references = torch.stack(copies, dim=2).flatten(1, 3)
        exists = exists[:, None].expand(-1, self.num_groups * num_copies, -1).flatten(1)
        query = torch.arange(references.shape[1], device=device)
        group, is_near = query // (num_copies * most), query // most % num_copies == 0
        image, near = (exists & is_near).nonzero().unbind(1)
        matches = Matches(image, near, near % most)
        # an image of no object keeps its queries: attention to nothing would be NaN
        is_ghost = ~exists & exists.any(dim=1, keepdim=True)  # (N, Q)
        attention_mask = (group[:, None] != group) | is_ghost[:, None]
        return NoisedBoxes(references, exists, attention_mask, matches)

    def _near(self, boxes: Tensor) -> Tensor:
        """(N, T, 4) -> (N, G, T, 4)."""
        noise = self._uniform(boxes)
        return self._move(boxes, noise[..., :2] * self.shift, noise[..., 2:])

    def _far(self, boxes: Tensor) -> Tensor:
        """(N, T, 4) -> (N, G, T, 4)."""
        noise = self._uniform(boxes)
        along = torch.rand_like(noise[..., :1]) < 0.5  # which axis takes the box out of itself
        out = (1 + noise[..., :2].abs()) * noise[..., :2].sign() / 2
        out = torch.where(torch.cat((along, ~along), dim=-1), out, noise[..., :2])
        return self._move(boxes, out, noise[..., 2:])

    def _uniform(self, boxes: Tensor) -> Tensor:
        count, most, _ = boxes.shape
        return 2 * torch.rand(count, self.num_groups, most, 4, device=boxes.device) - 1

    def _move(self, boxes: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        sizes = boxes[:, None, :, 2:]
        centers = (boxes[:, None, :, :2] + shift * sizes).clamp(0, 1)
        sizes = (sizes * (scale * self.log_scale).exp()).clamp(_SMALLEST, 1)
        return torch.cat((centers, sizes), dim=-1)
