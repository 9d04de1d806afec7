"""The neck: the backbone's maps, projected to equal width, with coarser levels added.

On request what coarse levels know is handed down to the finer ones.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medmask.errors import InputError

NORM_GROUPS = 32
CHANNELS_OF_A_VECTOR = 8


class MultiScaleNeck(nn.Module):
    """1x1 convolution + GroupNorm per backbone map, then stride-2 3x3 convolutions on the last.

    The first extra level is computed from the last backbone map itself, each further one from the
    level before (Deformable DETR, Zhu et al., 2021, appendix A.2).

    With ``top_down`` each level but the coarsest then becomes a 3x3 convolution + GroupNorm of the
    sum of itself and the next coarser one, made as large (feature pyramid networks, Lin et al.,
    2017). A fresh encoder would have to learn this exchange between levels.
    """

    def __init__(
        self,
        in_channels: Mapping[str, int],
        out_channels: int,
        num_levels: int,
        top_down: bool = False,
    ):
        """Create the projections.

        Args:
            in_channels: backbone feature name -> its channels, from fine to coarse.
            out_channels: channels of every output level, divisible by 32.
            num_levels: number of output levels, at least ``len(in_channels)``.
            top_down: hand coarser levels down to finer ones.

        Raises:
            InputError: a number does not fit.
        """
        super().__init__()
        if num_levels < len(in_channels):
            raise InputError(
                f"num_levels must be at least the number of backbone maps {list(in_channels)}, "
                f"got {num_levels}"
            )
        if out_channels % NORM_GROUPS:
            raise InputError(f"embed_dim must be divisible by {NORM_GROUPS}, got {out_channels}")
        self.in_features = list(in_channels)
        self.projections = nn.ModuleList(
            _projection(channels, out_channels, kernel_size=1) for channels in in_channels.values()
        )
        channels = in_channels[self.in_features[-1]]
        for _ in range(num_levels - len(in_channels)):
            self.projections.append(
                _projection(channels, out_channels, kernel_size=3, stride=2, padding=1)
            )
            channels = out_channels
        self.merges = nn.ModuleList(
            _projection(out_channels, out_channels, kernel_size=3, padding=1)
            for _ in range(num_levels - 1 if top_down else 0)
        )

    def forward(self, features: Mapping[str, Tensor]) -> list[Tensor]:
        """Project the maps {name: (N, C_i, h, w)} to a list of ``num_levels`` (N, C, h, w)."""
        maps = [features[name] for name in self.in_features]
        num_backbone_maps = len(maps)
        outputs = [
            projection(m)
            for projection, m in zip(self.projections[:num_backbone_maps], maps, strict=True)
        ]
        coarsest = maps[-1]
        for projection in self.projections[num_backbone_maps:]:
            coarsest = projection(coarsest)
            outputs.append(coarsest)
        for level in reversed(range(len(self.merges))):  # from coarse to fine
            size = outputs[level].shape[-2:]
            coarser = F.interpolate(outputs[level + 1], size, mode="nearest")
            outputs[level] = self.merges[level](outputs[level] + coarser)
        return outputs


def _projection(
    in_channels: int, out_channels: int, *, kernel_size: int, stride: int = 1, padding: int = 0
) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
    assert conv.bias is not None
    nn.init.xavier_uniform_(conv.weight)
    nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, _GroupNorm(NORM_GROUPS, out_channels))


class _GroupNorm(nn.GroupNorm):
    """``nn.GroupNorm``, but quick on channels-last maps of few channels a group, too.

    For these PyTorch's loops run over the channels of a group, which then fill no vector. A step
    on phantoms takes 3 to 11% less processor time so (measured on a busy machine).

    A group of a single value, as in a map of one pixel, becomes its bias; PyTorch's layer refuses
    it.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.num_channels < CHANNELS_OF_A_VECTOR * self.num_groups:
            x = x.contiguous()
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)
