"""What the keys of a config may hold: parts of the model, and loss hooks."""

from collections.abc import Callable, Mapping
from typing import Any

from detectron2.modeling import Backbone, ResNet
from detectron2.modeling.backbone import BasicStem

from medmask.config.values import (
    Either,
    Flag,
    ListOf,
    MappingTo,
    Number,
    OneOrList,
    Part,
    Period,
    Text,
    Value,
    WholeNumber,
)
from medmask.data.loaders import ResumableLoader
from medmask.modeling import (
    DeformableTransformer,
    DetectionCriterion,
    HungarianMatcher,
    MatchingCost,
    MedMask,
    OneToManyMatcher,
    build_small_resnet,
)
from medmask.stages.distillation import (
    CosineLoss,
    InfoNCE,
    MarginLoss,
    TripletLoss,
)
from medmask.stages.distillation.contrastive_losses import ContrastiveLoss
from medmask.stages.distillation.hook import ExpertDistillationHook
from medmask.stages.domain_adversarial.hook import DomainAdversarialHook
from medmask.stages.masked_autoencoding.hook import MaskedAutoencoderHook
from medmask.stages.masked_autoencoding.mask_ratio import (
    ConstantMaskRatio,
    CosineMaskRatio,
    LossDrivenMaskRatio,
    MaskRatioSchedule,
)
from medmask.stages.mean_teacher.hook import TeacherHook
from medmask.stages.mean_teacher.selective_retraining import SelectiveRetrainingHook
from medmask.stages.mean_teacher.thresholds import (
    ConfidenceRefinement,
    ConfidenceThreshold,
    DynamicThreshold,
    FixedThreshold,
)

_CHANNELS = WholeNumber(lowest=1, highest=8192, meaning="channels")
_LAYERS = WholeNumber(lowest=1, highest=100)
_DROPOUT = Number(highest=1, below=True)
_WEIGHT = Number(meaning="factor of a loss")
_NORM = Text(
    choices=("BN", "FrozenBN", "GN", "LN", "SyncBN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N"),
    meaning="normalization layer, by Detectron2's name",
)
_SHARE = Number(highest=1)
_COLOR = Number(lowest=-1e6, highest=1e6)

_ATTENTION: Mapping[str, Value] = {
    "embed_dim": _CHANNELS,
    "num_heads": WholeNumber(lowest=1, highest=1024),
    "num_levels": WholeNumber(lowest=1, highest=16),
    "num_points": WholeNumber(lowest=1, highest=64),
    "feed_forward_dim": _CHANNELS,
    "dropout": _DROPOUT,
}
_FOCAL: Mapping[str, Value] = {
    "class_weight": _WEIGHT,
    "box_weight": _WEIGHT,
    "giou_weight": _WEIGHT,
    "focal_alpha": _SHARE,
    "focal_gamma": Number(),
}

_MODEL: Mapping[Callable, Mapping[str, Value]] = {
    MedMask: {
        "backbone": Part(of=Backbone),
        "transformer": Part(of=DeformableTransformer),
        "criterion": Part(of=DetectionCriterion),
        "pixel_mean": ListOf(item=_COLOR, shortest=3, longest=3, meaning="RGB, in [0, 255]"),
        "pixel_std": ListOf(
            item=Number(above=True, highest=1e6), shortest=3, longest=3, meaning="RGB"
        ),
        "in_features": ListOf(
            item=Text(), optional=True, meaning="the backbone's maps that are read; null: all"
        ),
        "max_detections": WholeNumber(lowest=1, highest=100_000, meaning="in an image"),
    },
    ResNet: {
        "stem": Part(),
        "stages": Either(kinds=(Part(of=list), ListOf(item=Part()))),
        "num_classes": WholeNumber(lowest=1, optional=True),
        "out_features": ListOf(item=Text(choices=("stem", "res2", "res3", "res4", "res5"))),
        "freeze_at": WholeNumber(highest=5, meaning="stages that do not learn"),
    },
    BasicStem: {
        "in_channels": WholeNumber(lowest=3, highest=3),
        "out_channels": _CHANNELS,
        "norm": _NORM,
    },
    ResNet.make_default_stages: {
        "depth": Either(
            kinds=tuple(WholeNumber(lowest=d, highest=d) for d in (18, 34, 50, 101, 152))
        ),
        "norm": _NORM,
        "stride_in_1x1": Flag(),
    },
    build_small_resnet: {
        "widths": ListOf(item=_CHANNELS, shortest=2, longest=6),
        "in_channels": WholeNumber(lowest=3, highest=3),
        "norm": _NORM,
    },
    DeformableTransformer: {
        **_ATTENTION,
        "num_classes": WholeNumber(lowest=1, highest=10_000),
        "num_queries": WholeNumber(lowest=1, highest=100_000),
        "num_encoder_layers": _LAYERS,
        "num_decoder_layers": _LAYERS,
        "box_refinement": Flag(),
        "two_stage": Flag(),
        "gradient_checkpointing": Flag(),
    },
    DetectionCriterion: {
        **_FOCAL,
        "matcher": Part(of=(HungarianMatcher, OneToManyMatcher)),
        "proposal_matcher": Part(of=(HungarianMatcher, OneToManyMatcher), optional=True),
    },
    HungarianMatcher: {"cost": Part(of=MatchingCost)},
    OneToManyMatcher: {
        "cost": Part(of=MatchingCost),
        "matches_per_target": WholeNumber(lowest=1, highest=1000),
    },
    MatchingCost: _FOCAL,
}

_HOOKS: Mapping[Callable, Mapping[str, Value]] = {
    MaskedAutoencoderHook: {
        "loader": Part(of=ResumableLoader),
        "mask_ratio": Part(of=MaskRatioSchedule),
        "targets": MappingTo(
            item=ListOf(item=WholeNumber(lowest=1, highest=1024), shortest=2, longest=2),
            meaning="map of the backbone -> (h, w) of the learned queries",
        ),
        "num_layers": _LAYERS,
        "masking": Text(choices=("independent", "aligned")),
        "scope": Text(choices=("hidden", "all")),
        "weight": _WEIGHT,
        "duration": Period(optional=True, meaning="null: the whole run"),
        "picture_period": Period(or_end=True, optional=True, meaning="null: no pictures"),
        "num_pictured": WholeNumber(lowest=1, highest=1000, meaning="images in a picture"),
        "output_dir": Text(),
    },
    ConstantMaskRatio: {"start": _SHARE},
    CosineMaskRatio: {"start": _SHARE, "end": _SHARE},
    LossDrivenMaskRatio: {"start": _SHARE, "step": _SHARE, "period": Period()},
    TeacherHook: {
        "loader": Part(of=ResumableLoader),
        "threshold": Part(of=ConfidenceThreshold),
        "ema_decay": Number(highest=1, below=True),
        "loss_weight": _WEIGHT,
        "teach_boxes": Flag(),
    },
    FixedThreshold: {"value": _SHARE},
    DynamicThreshold: {
        "initial": _SHARE,
        "momentum": _SHARE,
        "scale": _SHARE,
        "lowest": _SHARE,
        "highest": _SHARE,
        "update_period": Period(),
    },
    ConfidenceRefinement: {
        "soft": _SHARE,
        "hard": _SHARE,
        "steepness": Number(above=True),
    },
    DomainAdversarialHook: {
        "backbone_weight": _WEIGHT,
        "encoder_weight": _WEIGHT,
        "decoder_weight": _WEIGHT,
    },
    SelectiveRetrainingHook: {"period": Period()},
    ExpertDistillationHook: {
        "stores": OneOrList(item=Text(), meaning="folders of expert stores"),
        "loss": Part(of=ContrastiveLoss),
        "queue_size": WholeNumber(highest=1_000_000, meaning="past embeddings of either level"),
        "image_weight": _WEIGHT,
        "lesion_weight": _WEIGHT,
        "zero_shot_weight": _WEIGHT,
        "missing": Text(choices=("error", "skip")),
    },
    InfoNCE: {"temperature": Number(above=True)},
    CosineLoss: {},
    MarginLoss: {"margin": Number(lowest=-1, highest=1)},
    TripletLoss: {"margin": Number(highest=2)},
}

MODEL_AND_HOOK_ARGUMENTS: Mapping[Callable[..., Any], Mapping[str, Value]] = {**_MODEL, **_HOOKS}
"""As :data:`medmask.config.keys.ARGUMENTS`."""
