"""Values that the keys of a config may hold: parts of the model, and loss hooks."""

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
    build_timm_backbone,
)
from medmask.stages.denoising import BoxNoise, DenoisingHook
from medmask.stages.distillation import (
    CosineLoss,
    InfoNCE,
    MarginLoss,
    TripletLoss,
)
from medmask.stages.distillation.contrastive_losses import ContrastiveLoss
from medmask.stages.distillation.dense import DENSE_LOSSES
from medmask.stages.distillation.embedding_space import SPACES
from medmask.stages.distillation.hook import ExpertDistillationHook
from medmask.stages.domain_adversarial.hook import DomainAdversarialHook
from medmask.stages.image_labels import ImageLabelHook, LogSumExpPooling, NoisyOrPooling
from medmask.stages.image_labels.pooling import BagPooling
from medmask.stages.masked_autoencoding.hook import MaskedAutoencoderHook
from medmask.stages.masked_autoencoding.mask_ratio import (
    ConstantMaskRatio,
    CosineMaskRatio,
    LossDrivenMaskRatio,
    MaskRatioSchedule,
)
from medmask.stages.mean_teacher.copy_paste import LesionCopyPaste
from medmask.stages.mean_teacher.hook import TeacherHook
from medmask.stages.mean_teacher.selective_retraining import SelectiveRetrainingHook
from medmask.stages.mean_teacher.thresholds import (
    ConfidenceRefinement,
    ConfidenceThreshold,
    DynamicThreshold,
    FixedThreshold,
)
from medmask.stages.weight_averaging import WeightAveragingHook

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
    "focal_gamma": Number(meaning="exponent of the focal term"),
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
        "max_detections": WholeNumber(lowest=1, highest=100_000, meaning="in an image"),
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
            meaning="keep a pixel's channels together in memory: faster depthwise convolutions"
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

HOOKS: Mapping[Callable, Mapping[str, Value]] = {
    MaskedAutoencoderHook: {
        "loader": Part(of=ResumableLoader, meaning="of unlabeled images"),
        "mask_ratio": Part(of=MaskRatioSchedule, meaning="share of masked tokens over the run"),
        "targets": MappingTo(
            item=ListOf(item=WholeNumber(lowest=1, highest=1024), shortest=2, longest=2),
            meaning="map of the backbone to reconstruct -> (h, w) of the learned queries",
        ),
        "num_layers": _LAYERS.with_meaning("layers of the decoder that reconstructs"),
        "positional_content": Flag(
            meaning="queries of masked positions carry the position in their content, too"
        ),
        "masking": Text(
            choices=("independent", "aligned"),
            meaning="independent on each level, or aligned between levels",
        ),
        "scope": Text(choices=("masked", "all"), meaning="tokens whose error counts"),
        "weight": _WEIGHT.with_meaning("factor of the loss"),
        "gradient_share": Number(
            above=True,
            optional=True,
            meaning="norm of the loss's gradient in the encoder, as a share of detection's, which "
            "the weight then follows; null: the weight stays",
        ),
        "target_network": Text(
            choices=("model", "start", "average"),
            meaning="backbone whose maps are rebuilt: the model's own, a copy of it from the start "
            "of the run, or its moving average",
        ),
        "target_decay": Number(
            highest=1, below=True, meaning="share of that average that stays in an iteration"
        ),
        "standardize": Flag(meaning="bring each channel of the maps to mean 0 and variance 1"),
        "warmup": Period(
            optional=True,
            meaning="first iterations, in which the loss trains its own decoder alone; null: none",
        ),
        "duration": Period(optional=True, meaning="of masked autoencoding; null: the whole run"),
        "picture_period": Period(
            or_end=True, optional=True, meaning="from one picture to the next; null: no pictures"
        ),
        "num_pictured": WholeNumber(lowest=1, highest=1000, meaning="images in a picture"),
        "output_dir": Text(meaning="folder in which pictures/ is made"),
    },
    ConstantMaskRatio: {"start": _SHARE.with_meaning("mask ratio")},
    CosineMaskRatio: {
        "start": _SHARE.with_meaning("mask ratio at the start"),
        "end": _SHARE.with_meaning("mask ratio at the end"),
    },
    LossDrivenMaskRatio: {
        "start": _SHARE.with_meaning("mask ratio of the first period"),
        "step": _SHARE.with_meaning("largest change, at the start of the run"),
        "period": Period(meaning="from one change to the next"),
    },
    WeightAveragingHook: {
        "decay": Number(
            highest=1, below=True, meaning="share of the average that stays in an iteration"
        ),
    },
    TeacherHook: {
        "loader": Part(of=ResumableLoader, meaning="of pairs of views of unlabeled images"),
        "threshold": Part(
            of=ConfidenceThreshold, meaning="score from which a detection becomes a label"
        ),
        "ema_decay": Number(
            highest=1, below=True, meaning="share of the teacher that stays in an iteration"
        ),
        "loss_weight": _WEIGHT.with_meaning("factor of the losses on pseudo labels"),
        "teach_boxes": Flag(meaning="pseudo boxes count, too, not their classes alone"),
        "copy_paste": Part(
            of=LesionCopyPaste,
            optional=True,
            meaning="of lesions between labeled and unlabeled images; null for none",
        ),
    },
    LesionCopyPaste: {
        "to_unlabeled_probability": _SHARE.with_meaning("of lesions pasted into unlabeled images"),
        "to_labeled_probability": _SHARE.with_meaning("of pseudo lesions pasted into labeled ones"),
        "border": WholeNumber(
            lowest=1, highest=1000, meaning="pixels over which a lesion fades into the image"
        ),
    },
    FixedThreshold: {"value": _SHARE.with_meaning("threshold of every class")},
    DynamicThreshold: {
        "initial": _SHARE.with_meaning("threshold until the first update"),
        "momentum": _SHARE.with_meaning("share of the old threshold that stays in an update"),
        "scale": _SHARE.with_meaning("factor on the root of the student's mean score"),
        "lowest": _SHARE.with_meaning("lowest threshold"),
        "highest": _SHARE.with_meaning("highest threshold"),
        "update_period": Period(meaning="from one update to the next"),
    },
    ConfidenceRefinement: {
        "soft": _SHARE.with_meaning("threshold at the start"),
        "hard": _SHARE.with_meaning("threshold that it tends to"),
        "steepness": Number(above=True, meaning="speed of the change"),
    },
    DomainAdversarialHook: {
        "backbone_weight": _WEIGHT.with_meaning("factor of the loss on the backbone's last map"),
        "encoder_weight": _WEIGHT.with_meaning("factor of the loss on encoder tokens"),
        "decoder_weight": _WEIGHT.with_meaning("factor of the loss on decoder queries"),
    },
    SelectiveRetrainingHook: {
        "period": Period(meaning="from one reset to the next"),
        "keep_heads": Flag(meaning="class and box heads are kept with the decoder's layers"),
    },
    DenoisingHook: {
        "noise": Part(of=BoxNoise, meaning="draws the boxes to restore"),
        "weight": _WEIGHT.with_meaning("factor of the losses on them"),
    },
    BoxNoise: {
        "num_groups": WholeNumber(lowest=1, highest=100, meaning="copies of each box"),
        "shift": Number(
            lowest=0, highest=0.5, above=False, below=True, meaning="largest move, in box sizes"
        ),
        "log_scale": Number(lowest=0, meaning="largest logarithm of the factor of a side"),
        "far": Flag(meaning="as many copies beside the box are background"),
    },
    ImageLabelHook: {
        "loader": Part(of=ResumableLoader, meaning="of images whose records tell if malignant"),
        "pooling": Part(of=BagPooling, meaning="from the queries' logits to that of the image"),
        "weight": _WEIGHT.with_meaning("factor of the loss"),
        "class_id": WholeNumber(highest=1000, meaning="class that the label is about"),
        "negatives": Flag(meaning="images that are not malignant count, too"),
    },
    LogSumExpPooling: {
        "sharpness": Number(above=True, meaning="from the mean (0) to the maximum (infinity)")
    },
    NoisyOrPooling: {},
    ExpertDistillationHook: {
        "stores": OneOrList(item=Text(), meaning="folder or folders of expert stores"),
        "loss": Part(of=ContrastiveLoss, meaning="of the image and the lesion level"),
        "queue_size": WholeNumber(
            highest=1_000_000, meaning="past embeddings of either level that serve as negatives"
        ),
        "image_weight": _WEIGHT.with_meaning("factor of the image level"),
        "lesion_weight": _WEIGHT.with_meaning("factor of the lesion level"),
        "zero_shot_weight": _WEIGHT.with_meaning("factor of the zero-shot assignment"),
        "image_loss": Part(
            of=ContrastiveLoss, optional=True, meaning="of the image level, if it is another"
        ),
        "embedding_space": Text(
            choices=SPACES, meaning="in which image and lesion level compare embeddings"
        ),
        "same_patient_negatives": Flag(
            meaning="another image or lesion of the patient is a negative"
        ),
        "highest_negative_similarity": Number(
            lowest=-1,
            highest=1,
            meaning="cosine of the expert's embeddings above which they are no negatives",
        ),
        "dense_weight": _WEIGHT.with_meaning("factor of the dense level"),
        "dense_strides": ListOf(
            item=WholeNumber(lowest=1),
            meaning="strides of the tokens that learn patches, in pixels",
        ),
        "dense_loss": Text(choices=DENSE_LOSSES, meaning="between tokens and patches"),
        "heads_alone": Period(
            optional=True, meaning="time at the start in which the new heads alone learn from it"
        ),
        "name": Text(meaning="of the expert, in the names of its losses and of the hook's key"),
        "missing": Text(
            choices=("error", "skip"),
            meaning="stop at training images that no store holds, or skip them",
        ),
        "held_out_stores": OneOrList(
            item=Text(),
            optional=True,
            meaning="folder or folders of expert stores of the evaluated images, to measure "
            "retrieval; null for none",
        ),
    },
    InfoNCE: {"temperature": Number(above=True, meaning="of the softmax over similarities")},
    CosineLoss: {},
    MarginLoss: {
        "margin": Number(lowest=-1, highest=1, meaning="similarity that a negative may have")
    },
    TripletLoss: {
        "margin": Number(
            highest=2, meaning="least distance between the positive's and a negative's similarity"
        )
    },
}
"""As :data:`medmask.config.keys.ARGUMENTS`, of loss hooks."""
