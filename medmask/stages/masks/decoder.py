"""A small decoder from the encoder's finest levels to a map of lesion and background.

It is there for training alone, as the segmentation of Retina U-Net (Jaeger et al., 2018): what it
needs to know of every pixel, encoder and backbone have to learn, and detection uses it.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_GROUPS = 8
_PRIOR = 0.01
"""share of lesion pixels that a fresh decoder assumes, as most are background"""


class MaskDecoder(nn.Module):
    """Joins the levels on the finest of them, and doubles its size until the map is fine enough.

    Each level is projected by a 1x1 convolution and resized; after each doubling come a 3x3
    convolution, GroupNorm and ReLU.
    """

    def __init__(
        self, in_channels: int, channels: int, num_levels: int, num_doublings: int
    ) -> None:
        """Create the decoder.

        Args:
            in_channels: of the levels.
            channels: of the decoder's own maps, divisible by 8.
            num_levels: levels that are read.
            num_doublings: from the finest level to the result.
        """
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Conv2d(in_channels, channels, kernel_size=1) for _ in range(num_levels)
        )
        self.blocks = nn.ModuleList(_block(channels) for _ in range(num_doublings + 1))
        self.head = nn.Conv2d(channels, 1, kernel_size=1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, math.log(_PRIOR / (1 - _PRIOR)))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Decode.

        Args:
            levels: (N, C, h, w) each, from fine to coarse; as many as the decoder reads.

        Returns:
            (N, h', w') logits of "lesion", h' and w' being those of the finest level, doubled.
        """
        projected = [p(level) for p, level in zip(self.projections, levels, strict=True)]
        size = projected[0].shape[-2:]
        x = torch.stack([projected[0], *(_resize(p, size) for p in projected[1:])]).sum(dim=0)
        x = self.blocks[0](x)
        for block in self.blocks[1:]:
            x = block(_resize(x, tuple(2 * side for side in x.shape[-2:])))
        return self.head(x)[:, 0]


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        nn.GroupNorm(NORM_GROUPS, channels),
        nn.ReLU(inplace=True),
    )


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
