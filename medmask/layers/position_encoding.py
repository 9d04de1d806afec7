"""Sine position encodings of feature maps and of boxes.

The encoding of "Attention Is All You Need" (Vaswani et al., 2017) in two dimensions, as used by
DETR (Carion et al., 2020) and Deformable DETR (Zhu et al., 2021).
"""

import math

import torch
from torch import Tensor, nn

from medmask.errors import InputError

TEMPERATURE = 10000.0
SCALE = 2 * math.pi


def _sine_encoding(coordinates: Tensor, num_channels: int) -> Tensor:
    """Encode coordinates in [0, 2*pi]: (...) -> (..., num_channels), sine, cosine, sine, ..."""
    channels = torch.arange(num_channels, dtype=torch.float32, device=coordinates.device)
    wavelengths = TEMPERATURE ** (2 * (channels // 2) / num_channels)
    angles = coordinates[..., None] / wavelengths
    return torch.stack((angles[..., 0::2].sin(), angles[..., 1::2].cos()), dim=-1).flatten(-2)


class SinePositionEncoding(nn.Module):
    """Position encoding of a padded feature map, normalized by the extent of the image in it.

    The pixel in row r (counted from 1) of an image that covers h rows of the map has the vertical
    coordinate ``(r - 0.5) / h * 2*pi``, whatever the padding below it; likewise horizontally.
    """

    def __init__(self, num_channels: int):
        """Create the encoding.

        Args:
            num_channels: channels of the result, divisible by 4; the first half encodes y, the
                second half x.
        """
        super().__init__()
        if num_channels % 4:
            raise InputError(f"num_channels must be divisible by 4, got {num_channels}")
        self.num_channels = num_channels

    def forward(self, padding_mask: Tensor) -> Tensor:
        """Encode every position of a map.

        Args:
            padding_mask: (N, H, W) bool, True where the map is padding: below the image and to the
                right of it.

        Returns:
            (N, num_channels, H, W) float32.
        """
        # Rows are alike in y and columns in x, so one of each is enough; but a column (row) without
        # any image has no extent, and a value of its own that public checkpoints were trained with.
        rows, columns = padding_mask[:, :, 0], padding_mask[:, 0, :]  # (N, H), (N, W)
        nothing = self._encode_axis(rows.new_ones(1, 1))
        y = self._encode_axis(rows)[:, :, None]  # (N, H, 1, num_channels / 2)
        y = torch.where(columns[:, None, :, None], nothing, y)
        x = self._encode_axis(columns)[:, None]  # (N, 1, W, num_channels / 2)
        x = torch.where(rows[:, :, None, None], nothing, x)
        return torch.cat((y, x), dim=-1).permute(0, 3, 1, 2)

    def _encode_axis(self, padding: Tensor) -> Tensor:
        """Along one axis, True where it is padding: (N, K) -> (N, K, num_channels / 2)."""
        place = (~padding).cumsum(1, dtype=torch.float32)
        coordinate = (place - 0.5) / (place[:, -1:] + 1e-6) * SCALE
        return _sine_encoding(coordinate, self.num_channels // 2)


def box_position_encoding(boxes: Tensor, channels_per_coordinate: int) -> Tensor:
    """Encode boxes for the queries of a two-stage detector.

    Args:
        boxes: (..., 4) as (cx, cy, w, h) in [0, 1].
        channels_per_coordinate: an even number.

    Returns:
        (..., 4 * channels_per_coordinate), the encodings of cx, cy, w and h one after another.
    """
    return _sine_encoding(boxes.float() * SCALE, channels_per_coordinate).flatten(-2)
