"""Distillation of an expert's patch tokens into the encoder's tokens.

Let x_k be a token of the encoder's output on a level of stride s, and p_k the expert's patch at the
same place of the image, each channel standardized over the store. A linear head H_s of each level
is to give p_k from x_k. The loss is 1 - cos(H_s(x_k), p_k), or the smooth L1 distance averaged over
channels, and the mean over all tokens that stand for a place of the image that the expert has seen.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medmask.experts import PatchStatistics
from medmask.stages.distillation.patch_targets import (
    ExpertPatches,
    cell_centers,
    grid_places,
    patches_at,
)
from medmask.utils.distributed import mean_over_processes

DENSE_LOSSES = ("cosine", "smooth_l1")


class DenseDistillation(nn.Module):
    """The heads, and the loss between tokens and patches.

    Every parameter takes part in every call, whatever the batch holds.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, token_dim: int, levels: Mapping[int, int], statistics: PatchStatistics, loss: str
    ) -> None:
        """Create a head for each level.

        Args:
            token_dim: channels of the encoder's tokens.
            levels: number of a level -> its stride in pixels.
            statistics: of the expert's patches, by which they are standardized.
            loss: one of :data:`DENSE_LOSSES`.
        """
        super().__init__()
        self.levels = dict(levels)
        self.loss = loss
        self.heads = nn.ModuleList(nn.Linear(token_dim, len(statistics.mean)) for _ in levels)
        self.register_buffer("mean", torch.from_numpy(statistics.mean), persistent=False)
        self.register_buffer("std", torch.from_numpy(statistics.std), persistent=False)

    def forward(self, maps: Sequence[Tensor], images: Sequence[ExpertPatches]) -> Tensor:
        """Compute the loss, in float32 also under autocast.

        Args:
            maps: the encoder's output on all levels, (N, h, w, C) each.
            images: the expert's patches of those images of the batch that it has seen.

        Returns:
            A scalar, see :func:`mean_over_processes`.
        """
        losses = [
            self._level_losses(head, maps[level], stride, images)
            for head, (level, stride) in zip(self.heads, self.levels.items(), strict=True)
        ]
        return mean_over_processes(torch.cat(losses))

    def _level_losses(
        self, head: nn.Module, tokens: Tensor, stride: int, images: Sequence[ExpertPatches]
    ) -> Tensor:
        """The loss of each token that the expert has seen: (R,)."""
        centers = cell_centers((tokens.shape[1], tokens.shape[2]), stride)
        chosen = [tokens.new_zeros(0, tokens.shape[-1])]
        targets = [self.mean.new_zeros(0, len(self.mean))]
        for image in images:
            places, is_seen = grid_places(image, centers)
            device = tokens.device
            chosen.append(tokens[image.index][is_seen.to(device)])
            grid = image.grid.to(device, non_blocking=True)
            targets.append(patches_at(grid, places[is_seen].to(device)))
        with torch.autocast(tokens.device.type, enabled=False):
            # a head of a batch without any such token is still part of the graph
            student = head(torch.cat(chosen).float())
            target = (torch.cat(targets) - self.mean) / self.std
            if self.loss == "cosine":
                return 1 - F.cosine_similarity(student, target, dim=1)
            return F.smooth_l1_loss(student, target, reduction="none").mean(dim=1)
