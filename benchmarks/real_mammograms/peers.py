"""Detectron2's Faster R-CNN and RetinaNet for small images, trained and tested on our samples.

Both have the backbone of our config under a feature pyramid (Lin et al., 2017). Their trainer,
loader, schedule, gradient clipping and averaging of weights are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.layers import ShapeSpec
from detectron2.modeling import FPN, Backbone
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch import GeneralizedRCNN, RetinaNet
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, FastRCNNOutputLayers, StandardROIHeads
from torch import Tensor, nn

from medmask.modeling.postprocessing import to_original_image

CHANNELS = 128
"""Of all maps, as in our detector."""
ASPECT_RATIOS = (0.5, 1.0, 2.0)
"""Height by width of anchors."""
LEVELS = ("p3", "p4", "p5", "p6")
_STRIDES = (8, 16, 32, 64)
_LOWEST_SCORE = 0.001  # an FROC curve goes on where a reader's threshold would have cut it off
_NMS_IOU = 0.5
_MOST_DETECTIONS = 60


@dataclass(frozen=True)
class PeerStep:
    """Outputs of a supervised step that our trainer reads."""

    losses: Mapping[str, Tensor]


class _OnOurSamples:
    """Takes the samples of our mapper, and maps boxes back through its crop."""

    def forward(self, batched_inputs: list[dict[str, Any]], step: Any = None) -> Any:
        """Train or detect.

        Args:
            batched_inputs: samples of our mapper.
            step: not None asks for an object with ``losses``, as our trainer does.

        Returns:
            In training the losses by name, or such an object; in inference dicts of ``instances``
            in pixels of the original images.
        """
        if self.training:
            losses = super().forward(batched_inputs)
            return losses if step is None else PeerStep(losses)
        # Without the original's size, Detectron2 leaves the boxes in pixels of its input.
        inputs = [{"image": sample["image"]} for sample in batched_inputs]
        return [
            {"instances": to_original_image(output["instances"], sample)}
            for output, sample in zip(super().forward(inputs), batched_inputs, strict=True)
        ]


class FasterRCNN(_OnOurSamples, GeneralizedRCNN):
    """Ren et al., "Faster R-CNN" (2015), with a feature pyramid."""


class PeerRetinaNet(_OnOurSamples, RetinaNet):
    """Lin et al., "Focal Loss for Dense Object Detection" (2017)."""


def build_faster_rcnn(
    *,
    backbone: Backbone,
    num_classes: int,
    anchor_sizes: Sequence[float],
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
) -> FasterRCNN:
    """Build a Faster R-CNN.

    Args:
        backbone: gives ``res3``, ``res4`` and ``res5``.
        num_classes: of objects.
        anchor_sizes: pixels of the input, one for each of :data:`LEVELS`.
        pixel_mean: mean of each image channel.
        pixel_std: standard deviation of each channel.
    """
    pyramid = _build_pyramid(backbone)
    proposal_generator = RPN(
        in_features=list(LEVELS),
        head=StandardRPNHead(in_channels=CHANNELS, num_anchors=len(ASPECT_RATIOS)),
        anchor_generator=_build_anchors([[size] for size in anchor_sizes]),
        anchor_matcher=Matcher([0.3, 0.7], [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        batch_size_per_image=256,
        positive_fraction=0.5,
        pre_nms_topk=(1000, 500),
        post_nms_topk=(500, 200),
        nms_thresh=0.7,
    )
    roi_heads = StandardROIHeads(
        num_classes=num_classes,
        batch_size_per_image=128,
        positive_fraction=0.25,
        proposal_matcher=Matcher([0.5], [0, 1], allow_low_quality_matches=False),
        box_in_features=["p3", "p4", "p5"],
        box_pooler=ROIPooler(7, [1 / stride for stride in _STRIDES[:3]], 0, "ROIAlignV2"),
        box_head=FastRCNNConvFCHead(_shape(CHANNELS, 7), conv_dims=[], fc_dims=[512, 512]),
        box_predictor=FastRCNNOutputLayers(
            _shape(512),
            num_classes=num_classes,
            box2box_transform=Box2BoxTransform(weights=(10.0, 10.0, 5.0, 5.0)),
            test_score_thresh=_LOWEST_SCORE,
            test_nms_thresh=_NMS_IOU,
            test_topk_per_image=_MOST_DETECTIONS,
        ),
    )
    model = FasterRCNN(
        backbone=pyramid,
        proposal_generator=proposal_generator,
        roi_heads=roi_heads,
        pixel_mean=tuple(pixel_mean),
        pixel_std=tuple(pixel_std),
    )
    model.training_modules = nn.ModuleDict()  # as a detector of ours has, for hooks
    return model


def build_retinanet(
    *,
    backbone: Backbone,
    num_classes: int,
    anchor_sizes: Sequence[float],
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
) -> PeerRetinaNet:
    """Build a RetinaNet with three anchor sizes a level; arguments as for Faster R-CNN."""
    octave = (anchor_sizes[-1] / anchor_sizes[0]) ** (1 / (len(anchor_sizes) - 1))
    sizes = [[size * octave ** (third / 3) for third in range(3)] for size in anchor_sizes]
    model = PeerRetinaNet(
        backbone=_build_pyramid(backbone),
        head=RetinaNetHead(
            input_shape=[_shape(CHANNELS)] * len(LEVELS),
            num_classes=num_classes,
            conv_dims=[CHANNELS, CHANNELS],
            num_anchors=3 * len(ASPECT_RATIOS),
        ),
        head_in_features=list(LEVELS),
        anchor_generator=_build_anchors(sizes),
        anchor_matcher=Matcher([0.4, 0.5], [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        num_classes=num_classes,
        test_score_thresh=_LOWEST_SCORE,
        test_nms_thresh=_NMS_IOU,
        test_topk_candidates=500,
        max_detections_per_image=_MOST_DETECTIONS,
        pixel_mean=tuple(pixel_mean),
        pixel_std=tuple(pixel_std),
    )
    model.training_modules = nn.ModuleDict()
    return model


BUILDERS = {"faster_rcnn": build_faster_rcnn, "retinanet": build_retinanet}


def _build_pyramid(backbone: Backbone) -> FPN:
    features = ["res3", "res4", "res5"]
    return FPN(backbone, features, CHANNELS, top_block=LastLevelMaxPool())


def _shape(channels: int, size: int | None = None) -> ShapeSpec:
    return ShapeSpec(channels=channels, height=size, width=size)


def _build_anchors(sizes: list[list[float]]) -> DefaultAnchorGenerator:
    ratios = [list(ASPECT_RATIOS)]
    return DefaultAnchorGenerator(sizes=sizes, aspect_ratios=ratios, strides=list(_STRIDES))
