"""Maps of several strides from the one map of a vision transformer (ViTDet, Li et al., 2022)."""

import math
from collections.abc import Sequence
from itertools import pairwise

from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from detectron2.modeling.backbone.vit import SimpleFeaturePyramid
from torch import Tensor

from medmask.errors import InputError

_SCALES = (4.0, 2.0, 1.0, 0.5)
"""of a level over the transformer's map: two deconvolutions, one, none, and pooling"""


class SimplePyramid(Backbone):
    """Detectron2's simple feature pyramid, its maps named by their strides as those of a ResNet.

    Every level is made from the transformer's last map alone, by deconvolution, as it is, or by
    pooling, with two convolutions after it.
    """

    def __init__(self, transformer: Backbone, strides: Sequence[int], channels: int):
        """Create the pyramid.

        Args:
            transformer: a backbone that gives one map.
            strides: of the levels, from fine to coarse, each twice the one before.
            channels: of every level.

        Raises:
            InputError: a level cannot be made from the transformer's map.
        """
        super().__init__()
        ((feature, shape),) = transformer.output_shape().items()
        scales = [shape.stride / stride for stride in strides]
        if not set(scales) <= set(_SCALES) or any(b != 2 * a for a, b in pairwise(strides)):
            choices = ", ".join(str(int(shape.stride / scale)) for scale in _SCALES)
            raise InputError(
                f"model.backbone.strides is {list(strides)}, but of a vision transformer with "
                f"patches of {shape.stride} pixels it may hold {choices}, each twice the one before"
            )
        self.pyramid = SimpleFeaturePyramid(transformer, feature, channels, scales)
        self._shapes = {
            f"res{round(math.log2(stride))}": ShapeSpec(channels=channels, stride=stride)
            for stride in strides
        }
        self._divisibility = max(shape.stride, *strides)

    @property
    def size_divisibility(self) -> int:
        """Divides the height and width of padded images: all maps have whole cells."""
        return self._divisibility

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the maps, {name: (N, C, H / stride, W / stride)}, of (N, 3, H, W) images."""
        return dict(zip(self._shapes, self.pyramid(images).values(), strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        return dict(self._shapes)
