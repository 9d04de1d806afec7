"""A small residual backbone for images that need no 25-million-parameter network."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet


def build_small_resnet(
    widths: Sequence[int] = (16, 32, 48, 64, 96), in_channels: int = 3, norm: str = "BN"
) -> ResNet:
    """Build a ResNet with one basic block per stage, trained from scratch.

    Args:
        widths: channels of the stem and of res2, res3, ... (strides 4, 4, 8, 16, 32).
        in_channels: channels of the image.
        norm: normalization layer, a name that Detectron2 knows.

    Returns:
        A Detectron2 backbone whose outputs are all stages from res3 on.
    """
    stem = BasicStem(in_channels=in_channels, out_channels=widths[0], norm=norm)
    stages = [
        ResNet.make_stage(
            BasicBlock,
            num_blocks=1,
            stride_per_block=[1 if i == 0 else 2],
            in_channels=widths[i],
            out_channels=widths[i + 1],
            norm=norm,
        )
        for i in range(len(widths) - 1)
    ]
    out_features = [f"res{i}" for i in range(3, len(widths) + 1)]
    return ResNet(stem, stages, out_features=out_features)


@BACKBONE_REGISTRY.register()
def build_small_resnet_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> ResNet:
    """The small ResNet from a yacs config: widths ``MODEL.MEDMASK.SMALL_RESNET_WIDTHS``."""
    return build_small_resnet(cfg.MODEL.MEDMASK.SMALL_RESNET_WIDTHS, input_shape.channels)
