"""A detector of half a million parameters for small images; trains in minutes on two cores.

Two stages, box refinement and one-to-many proposals make it converge fast.
"""

from detectron2.config import LazyCall as L

from medmask.modeling import (
    DeformableTransformer,
    DetectionCriterion,
    HungarianMatcher,
    MatchingCost,
    MedMask,
    OneToManyMatcher,
    build_small_resnet,
)

model = L(MedMask)(
    backbone=L(build_small_resnet)(widths=[16, 32, 48, 64, 96]),
    transformer=L(DeformableTransformer)(
        num_classes=1,
        num_queries=30,
        num_levels=3,
        embed_dim=64,
        num_heads=4,
        num_points=4,
        feed_forward_dim=128,
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
    pixel_mean=[60.0, 60.0, 60.0],
    pixel_std=[60.0, 60.0, 60.0],
    max_detections=30,
    nms_iou=0.5,  # so short a training leaves several queries on one lesion
)
