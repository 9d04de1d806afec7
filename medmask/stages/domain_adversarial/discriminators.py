"""Domain discriminators: is this feature of a source image or of a target image?

They judge the backbone's stride-32 map, the encoder's memory level by level, and the decoder's
queries, each behind gradient reversal, so that learning to answer makes the features of the two
domains alike. Logits are (source, target).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medmask.layers import MLP
from medmask.stages.domain_adversarial.gradient_reversal import reverse_gradient
from medmask.utils.distributed import mean_over_processes

NUM_DOMAINS = 2


class DomainLogits(NamedTuple):
    """Answers of the discriminators at every position."""

    backbone: Tensor
    """(N, h, w, 2)"""
    encoder: Tensor
    """(N, S, 2): the tokens of all levels, finest level first"""
    decoder: Tensor
    """(N, Q, 2)"""


class MapDiscriminator(nn.Module):
    """Three 3x3 convolutions with ReLU between: (N, C, h, w) -> (N, h, w, 2).

    Every convolution sees zeros in the padding, as it does outside the map, so that an image is
    judged alike beside images of any size. Else the padding, by which images of two domains of
    other proportions differ, would give the domain away.
    """

    def __init__(self, in_channels: int, hidden_dim: int):
        super().__init__()
        widths = [in_channels, hidden_dim, hidden_dim, NUM_DOMAINS]
        self.layers = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], kernel_size=3, padding=1) for i in range(3)
        )

    def forward(self, x: Tensor, padding_mask: Tensor) -> Tensor:
        """Judge a map whose ``padding_mask`` (N, h, w) bool is True in the padding."""
        is_padding = padding_mask[:, None]
        for layer in self.layers[:-1]:
            x = layer(x.masked_fill(is_padding, 0)).relu()
        return self.layers[-1](x.masked_fill(is_padding, 0)).permute(0, 2, 3, 1)


class DomainDiscriminators(nn.Module):
    """The three discriminators of the adversarial adaptation."""

    def __init__(self, *, backbone_channels: int, embed_dim: int, num_levels: int):
        """Create the discriminators.

        Args:
            backbone_channels: of the backbone's coarsest map.
            embed_dim: C, of the transformer; the width of the hidden layers.
            num_levels: L, of the transformer.
        """
        super().__init__()
        self.backbone = MapDiscriminator(backbone_channels, embed_dim)
        self.encoder = nn.ModuleList(
            MapDiscriminator(embed_dim, embed_dim) for _ in range(num_levels)
        )
        self.decoder = MLP(embed_dim, embed_dim, NUM_DOMAINS, num_layers=3)

    def forward(
        self,
        backbone_map: Tensor,
        memory_maps: Sequence[Tensor],
        queries: Tensor,
        *,
        backbone_padding: Tensor,
        memory_paddings: Sequence[Tensor],
    ) -> DomainLogits:
        """Judge the features of one batch.

        Args:
            backbone_map: (N, C_b, h, w), the backbone's coarsest map.
            memory_maps: the encoder's output per level, (N, h, w, C) each.
            queries: (N, Q, C), of the last decoder layer.
            backbone_padding: (N, h, w) bool, True in the padding of ``backbone_map``.
            memory_paddings: likewise of each of ``memory_maps``.
        """
        encoder = [
            discriminator(reverse_gradient(m).permute(0, 3, 1, 2), padding).flatten(1, 2)
            for discriminator, m, padding in zip(
                self.encoder, memory_maps, memory_paddings, strict=True
            )
        ]
        return DomainLogits(
            backbone=self.backbone(reverse_gradient(backbone_map), backbone_padding),
            encoder=torch.cat(encoder, dim=1),
            decoder=self.decoder(reverse_gradient(queries)),
        )


def domain_loss(logits: Tensor, domain: int, padding_mask: Tensor | None = None) -> Tensor:
    """Compute the mean cross-entropy over the positions of all processes.

    Args:
        logits: (..., 2).
        domain: the right answer for all of them, 0 (source) or 1 (target).
        padding_mask: (...) bool, True at positions that do not count; all count if None.

    Returns:
        A scalar, float32, see :func:`mean_over_processes`.
    """
    logits = _at_positions(logits, padding_mask)
    labels = torch.full((len(logits),), domain, device=logits.device)
    return mean_over_processes(F.cross_entropy(logits, labels, reduction="none"))


@torch.no_grad()
def domain_accuracy(logits: Tensor, domain: int, padding_mask: Tensor | None = None) -> Tensor:
    """Compute the share of this process's positions that are told right; see :func:`domain_loss`.

    Returns:
        A scalar, float32; positions whose logits are equal count half.
    """
    logits = _at_positions(logits, padding_mask)
    margin = logits[:, domain] - logits[:, 1 - domain]
    return ((margin.sign() + 1) / 2).mean()


def _at_positions(logits: Tensor, padding_mask: Tensor | None) -> Tensor:
    """(..., 2) logits -> (P, 2) float32 of the positions that count."""
    logits = logits.float()
    if padding_mask is not None:
        logits = logits[~padding_mask]
    return logits.flatten(0, -2)
