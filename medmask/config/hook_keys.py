"""Values that the keys of a config may hold: loss hooks."""

from collections.abc import Callable, Mapping

from medmask.config.values import (
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
from medmask.stages.denoising import BoxNoise, DenoisingHook
from medmask.stages.distillation import (
    DENSE_LOSSES,
    SPACES,
    ContrastiveLoss,
    CosineLoss,
    ExpertDistillationHook,
    InfoNCE,
    MarginLoss,
    TripletLoss,
)
from medmask.stages.domain_adversarial import DomainAdversarialHook
from medmask.stages.image_labels import (
    BagPooling,
    ImageLabelHook,
    LogSumExpPooling,
    NoisyOrPooling,
)
from medmask.stages.masked_autoencoding import (
    ConstantMaskRatio,
    CosineMaskRatio,
    LossDrivenMaskRatio,
    MaskedAutoencoderHook,
    MaskRatioSchedule,
)
from medmask.stages.masks import LesionMaskHook
from medmask.stages.mean_teacher import (
    ConfidenceRefinement,
    ConfidenceThreshold,
    DynamicThreshold,
    FixedThreshold,
    LesionCopyPaste,
    SelectiveRetrainingHook,
    TeacherHook,
)
from medmask.stages.weight_averaging import WeightAveragingHook

_LAYERS = WholeNumber(lowest=1, highest=100)
_WEIGHT = Number(meaning="factor of a loss")
_SHARE = Number(highest=1)
PASTING_MARGIN = Number(
    highest=100, meaning="over which a lesion fades into the image, as a share of its half axes"
)

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
        "margin": PASTING_MARGIN,
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
        "loader": Part(
            of=ResumableLoader,
            optional=True,
            meaning="of target images; null where a teacher takes steps on them",
        ),
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
    LesionMaskHook: {
        "weight": _WEIGHT.with_meaning("factor of the losses"),
        "stride": WholeNumber(
            lowest=1,
            highest=1024,
            meaning="of the map in pixels: that of the encoder's finest level, or a power of two "
            "finer",
        ),
        "channels": WholeNumber(lowest=8, highest=8192, meaning="of the decoder, divisible by 8"),
        "num_levels": WholeNumber(
            lowest=1, highest=16, meaning="levels of the encoder that are read, the finest ones"
        ),
    },
    ImageLabelHook: {
        "loader": Part(of=ResumableLoader, meaning="of images whose records have the field"),
        "pooling": Part(of=BagPooling, meaning="from the queries' logits to that of the image"),
        "weight": _WEIGHT.with_meaning("factor of the loss"),
        "class_id": WholeNumber(highest=1000, meaning="class that the label is about"),
        "field": Text(meaning="of the image's record that holds its label, true or false"),
        "negatives": Flag(meaning="images whose label is false count, too"),
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
        "normal_queries": WholeNumber(
            highest=10_000,
            meaning="unmatched queries of an image, far from any lesion, that it gives to "
            "normal_class; 0 for none",
        ),
        "normal_class": Text(meaning="class of the stores' prompts that is no lesion"),
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
