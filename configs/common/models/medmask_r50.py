"""The full-size detector: ResNet-50, four levels, six encoder and six decoder layers."""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import BasicStem, ResNet

from medmask.modeling import (
    DeformableTransformer,
    DetectionCriterion,
    HungarianMatcher,
    MatchingCost,
    MedMask,
)

model = L(MedMask)(
    backbone=L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=64, norm="FrozenBN"),
        stages=L(ResNet.make_default_stages)(depth=50, stride_in_1x1=False, norm="FrozenBN"),
        out_features=["res3", "res4", "res5"],
        freeze_at=2,
    ),
    transformer=L(DeformableTransformer)(
        num_classes=1,
        num_queries=300,
        num_levels=4,
        embed_dim=256,
        num_heads=8,
        num_points=4,
        feed_forward_dim=1024,
        num_encoder_layers=6,
        num_decoder_layers=6,
        dropout=0.1,
        box_refinement=False,
        two_stage=False,
        gradient_checkpointing=False,
    ),
    criterion=L(DetectionCriterion)(
        matcher=L(HungarianMatcher)(cost=L(MatchingCost)()),
    ),
    pixel_mean=[123.675, 116.28, 103.53],
    pixel_std=[58.395, 57.12, 57.375],
    max_detections=100,
    nms_iou=None,
)
