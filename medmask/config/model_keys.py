"""Values that the keys of a config may hold: parts of the model."""

import math
from collections.abc import Callable, Mapping

from detectron2.modeling import Backbone, ResNet
from detectron2.modeling.backbone import BasicStem

from medmask.config.values import (
    Either,
    Flag,
    ListOf,
    MappingTo,
    Number,
    Part,
    Text,
    Value,
    WholeNumber,
)
from medmask.modeling import (
    DeformableTransformer,
    DetectionCriterion,
    HungarianMatcher,
    MatchingCost,
    MedMask,
    OneToManyMatcher,
    build_small_resnet,
    build_timm_backbone,
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
_PLAIN: tuple[Value, ...] = (Flag(), Number(lowest=-math.inf), Text())
_NETWORK_OPTION = Either(kinds=(*_PLAIN, ListOf(item=Either(kinds=_PLAIN))))
_COLOR = Number(lowest=-1e6, highest=1e6)

_ATTENTION: Mapping[str, Value] = {
    "embed_dim": _CHANNELS.with_meaning("channels of tokens and queries"),
    "num_heads": WholeNumber(lowest=1, highest=1024, meaning="attention heads"),
    "num_levels": WholeNumber(lowest=1, highest=16, meaning="feature maps"),
    "num_points": WholeNumber(
        lowest=1, highest=64, meaning="points that a head samples on each level"
    ),
    "feed_forward_dim": _CHANNELS.with_meaning("hidden channels of the feed-forward networks"),
    "dropout": _DROPOUT.with_meaning("probability of dropping a value"),
}
_FOCAL: Mapping[str, Value] = {
    "class_weight": _WEIGHT.with_meaning("factor of the focal term"),
    "box_weight": _WEIGHT.with_meaning("factor of the L1 term"),
    "giou_weight": _WEIGHT.with_meaning("factor of the generalized-IoU term"),
    "focal_alpha": _SHARE.with_meaning("weight of the positive class"),
    "focal_gamma": Number(meaning="exponent of the focal term; in a criterion 0, or at least 1"),
}

MODEL: Mapping[Callable, Mapping[str, Value]] = {
    MedMask: {
        "backbone": Part(of=Backbone, meaning="gives the maps"),
        "transformer": Part(of=DeformableTransformer, meaning="encoder, queries and decoder"),
        "criterion": Part(of=DetectionCriterion, meaning="supervised losses"),
        "pixel_mean": ListOf(item=_COLOR, shortest=3, longest=3, meaning="RGB, in [0, 255]"),
        "pixel_std": ListOf(
            item=Number(above=True, highest=1e6), shortest=3, longest=3, meaning="RGB"
        ),
        "in_features": ListOf(
            item=Text(), optional=True, meaning="maps of the backbone that are read; null: all"
        ),
        "top_down": Flag(meaning="the neck hands coarser maps down to finer ones"),
        "max_detections": WholeNumber(lowest=1, highest=100_000, meaning="in an image"),
        "nms_iou": Number(
            highest=1, optional=True, meaning="IoU of non-maximum suppression; null for none"
        ),
    },
    ResNet: {
        "stem": Part(meaning="first layers"),
        "stages": Either(
            kinds=(Part(of=list), ListOf(item=Part())), meaning="the rest of the layers"
        ),
        "num_classes": WholeNumber(
            lowest=1,
            optional=True,
            meaning="of a classification head, which the detector has no use for",
        ),
        "out_features": ListOf(
            item=Text(choices=("stem", "res2", "res3", "res4", "res5")),
            meaning="maps that are given",
        ),
        "freeze_at": WholeNumber(
            highest=5, meaning="first layers that do not learn, the stem being 1"
        ),
    },
    BasicStem: {
        "in_channels": WholeNumber(lowest=3, highest=3, meaning="of the image"),
        "out_channels": _CHANNELS.with_meaning("of the stem"),
        "norm": _NORM.with_meaning("normalization layer, by Detectron2's name"),
    },
    ResNet.make_default_stages: {
        "depth": Either(
            kinds=tuple(WholeNumber(lowest=d, highest=d) for d in (18, 34, 50, 101, 152)),
            meaning="layers",
        ),
        "norm": _NORM.with_meaning("normalization layer, by Detectron2's name"),
        "stride_in_1x1": Flag(
            meaning="stride in the 1x1 convolution, as in the original ResNet (MSRA weights)"
        ),
    },
    build_small_resnet: {
        "widths": ListOf(
            item=_CHANNELS, shortest=2, longest=6, meaning="channels of the stem and of each stage"
        ),
        "in_channels": WholeNumber(lowest=3, highest=3, meaning="of the image"),
        "norm": _NORM.with_meaning("normalization layer, by Detectron2's name"),
    },
    build_timm_backbone: {
        "name": Text(meaning="of a network in timm, such as tf_efficientnet_lite0"),
        "strides": ListOf(
            item=WholeNumber(lowest=1, highest=64),
            ascending=True,
            meaning="of the maps that are given; stride 8 is res3, 16 res4, 32 res5",
        ),
        "batch_norm": Text(
            choices=("train", "eval", "frozen"),
            meaning="BatchNorm as it is; with fixed statistics; or with fixed scale and shift, too",
        ),
        "freeze_at": WholeNumber(
            highest=100,
            meaning="first stages that do not learn, or blocks of a vision transformer",
        ),
        "gradient_checkpointing": Flag(
            meaning="recompute layers in the backward pass: less memory, more time"
        ),
        "channels_last": Flag(
            meaning="keep a pixel's channels together on a CPU: faster depthwise convolutions"
        ),
        "pyramid_channels": _CHANNELS.with_meaning("of the maps made of a plain transformer's"),
        "network_options": MappingTo(
            item=_NETWORK_OPTION,
            optional=True,
            meaning="further arguments of the network's constructor in timm",
        ),
    },
    DeformableTransformer: {
        **_ATTENTION,
        "num_classes": WholeNumber(lowest=1, highest=10_000, meaning="classes, without background"),
        "num_queries": WholeNumber(
            lowest=1, highest=100_000, meaning="largest number of detections in an image"
        ),
        "num_encoder_layers": _LAYERS.with_meaning("encoder layers"),
        "num_decoder_layers": _LAYERS.with_meaning("decoder layers"),
        "box_refinement": Flag(meaning="each decoder layer corrects the boxes of the one before"),
        "two_stage": Flag(meaning="queries start from the encoder's best proposals"),
        "gradient_checkpointing": Flag(
            meaning="recompute layers in the backward pass: less memory, more time"
        ),
    },
    DetectionCriterion: {
        **_FOCAL,
        "matcher": Part(of=(HungarianMatcher, OneToManyMatcher), meaning="of decoder predictions"),
        "proposal_matcher": Part(
            of=(HungarianMatcher, OneToManyMatcher),
            optional=True,
            meaning="of encoder proposals; null: the same",
        ),
    },
    HungarianMatcher: {"cost": Part(of=MatchingCost, meaning="of a pair of prediction and object")},
    OneToManyMatcher: {
        "cost": Part(of=MatchingCost, meaning="of a pair of prediction and object"),
        "matches_per_target": WholeNumber(
            lowest=1, highest=1000, meaning="predictions that an object gets"
        ),
    },
    MatchingCost: _FOCAL,
}
"""As :data:`medmask.config.keys.ARGUMENTS`, of the parts of the model."""
