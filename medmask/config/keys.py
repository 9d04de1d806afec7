"""The keys of a config and the values they may hold: data, augmentation, evaluators.

Those of the run are in :mod:`medmask.config.train_keys`, the parts of the model in
:mod:`medmask.config.model_keys`, the loss hooks in :mod:`medmask.config.hook_keys`, optimizers and
schedules in :mod:`medmask.config.optimization_keys`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from detectron2.data.transforms import Augmentation
from detectron2.evaluation import COCOEvaluator

from medmask.config.hook_keys import HOOKS, PASTING_MARGIN
from medmask.config.model_keys import MODEL
from medmask.config.optimization_keys import OPTIMIZATION
from medmask.config.values import (
    Either,
    Flag,
    ListOf,
    Number,
    OneOrList,
    Part,
    Text,
    Value,
    WholeNumber,
)
from medmask.data import (
    DetectionMapper,
    LesionMapDrawer,
    LesionPasting,
    Mixup,
    PairedViewMapper,
    build_photometric_augmentation,
    build_test_augmentation,
    build_test_loader,
    build_train_augmentation,
    build_train_loader,
)
from medmask.data.outlines.lesion_map import WITHOUT_OUTLINE
from medmask.data.sample_mix import SampleMix
from medmask.evaluation import AveragePrecisionEvaluator, FROCEvaluator
from medmask.evaluation.settings import HIT_RULES, MOST_FALSE_POSITIVES

_DATASET = OneOrList(item=Text(), meaning="names of registered data sets")
_WORKERS = WholeNumber(highest=1024, meaning="worker processes of each process")
_PROBABILITY = Number(highest=1)
_PIXELS = WholeNumber(lowest=1, highest=100_000)
_BREAST_CROP = Flag(meaning="crop to the breast before all else")
_FACTORS = ListOf(item=Number(above=True, highest=1000), shortest=2, longest=2, ascending=True)
_BREAST_WINDOW = Flag(meaning="map the gray levels of the breast to [0, 255]")
_PIXEL_SPACING = Number(
    above=True,
    optional=True,
    meaning="millimeters; resize to it where an image states its own; null: by the short edge",
)
_STRENGTH = Number(meaning="largest relative change")

DATA: Mapping[Callable, Mapping[str, Value]] = {
    build_train_loader: {
        "dataset": _DATASET.with_meaning(
            "name or names of registered data sets; several are joined"
        ),
        "mapper": Part(meaning="turns a dataset dict into a sample"),
        "total_batch_size": WholeNumber(
            lowest=1, highest=1_000_000, meaning="images an iteration, in all processes together"
        ),
        "num_workers": _WORKERS.with_meaning("worker processes of each process"),
        "seed": WholeNumber(
            highest=2**63 - 1, meaning="of the order of the samples and their augmentation"
        ),
        "label_fraction": Number(
            above=True, highest=1, meaning="share of the patients whose images are used"
        ),
        "label_seed": WholeNumber(highest=2**32 - 1, meaning="chooses these patients"),
        "mix": Part(
            of=SampleMix,
            optional=True,
            meaning="changes samples by what another image of the set shows; null for nothing",
        ),
        "lesion_share": Number(
            above=True,
            highest=1,
            optional=True,
            meaning="share of the samples whose images have lesions; null: as in the data set",
        ),
    },
    build_test_loader: {
        "dataset": _DATASET.with_meaning(
            "name of a registered data set; several are joined, but the evaluators here judge one"
        ),
        "mapper": Part(meaning="turns a dataset dict into a sample"),
        "batch_size": WholeNumber(
            lowest=1, highest=1_000_000, meaning="images a batch, in each process"
        ),
        "num_workers": _WORKERS.with_meaning("worker processes of each process"),
    },
    LesionPasting: {
        "probability": _PROBABILITY.with_meaning("that an image gets another one's lesions"),
        "margin": PASTING_MARGIN,
    },
    Mixup: {
        "probability": _PROBABILITY.with_meaning("that an image is mixed with another"),
        "share_range": ListOf(
            item=Number(above=True, highest=0.5),
            shortest=2,
            longest=2,
            ascending=True,
            meaning="least and greatest share of the other image",
        ),
    },
    DetectionMapper: {
        "with_boxes": Flag(meaning="give the boxes"),
        "augmentation": Part(of=Augmentation, meaning="of image and boxes"),
        "photometric": Part(
            of=Augmentation, optional=True, meaning="of the pixels, after that; null for none"
        ),
        "lesion_map": Part(
            of=LesionMapDrawer,
            optional=True,
            meaning="draws outlines of lesions, where there are boxes; null for none",
        ),
    },
    LesionMapDrawer: {
        "without_outline": Text(
            choices=WITHOUT_OUTLINE,
            meaning="lesions of a box alone: leave the pixels of the box out, or take its ellipse",
        ),
    },
    PairedViewMapper: {
        "with_boxes": Flag(meaning="give the boxes"),
        "augmentation": Part(
            of=Augmentation, meaning="of image and boxes, the same for both views"
        ),
        "photometric": Part(of=Augmentation, meaning="of the pixels of the strong view"),
    },
    build_train_augmentation: {
        "short_edge_lengths": ListOf(item=_PIXELS, meaning="pixels, to choose from"),
        "max_size": _PIXELS.with_meaning("pixels; longest long edge of any resize"),
        "flip_probability": _PROBABILITY.with_meaning("of a horizontal flip"),
        "crop_probability": _PROBABILITY.with_meaning("of zooming: a resize, then a random crop"),
        "crop_short_edge_lengths": ListOf(
            item=_PIXELS, meaning="pixels, to choose from, before the crop"
        ),
        "crop_size_range": ListOf(
            item=_PIXELS,
            shortest=2,
            longest=2,
            ascending=True,
            meaning="pixels; least and greatest height and width of the crop",
        ),
        "breast_crop": _BREAST_CROP,
        "breast_window": _BREAST_WINDOW,
        "pixel_spacing_mm": _PIXEL_SPACING,
        "scale_range": _FACTORS.with_meaning("least and greatest factor on the final lengths"),
        "vertical_flip_probability": _PROBABILITY.with_meaning("of a vertical flip"),
        "rotation_degrees": Number(highest=180, meaning="largest angle of a rotation"),
    },
    build_test_augmentation: {
        "short_edge_length": _PIXELS.with_meaning("pixels"),
        "max_size": _PIXELS.with_meaning("pixels; longest long edge"),
        "breast_crop": _BREAST_CROP,
        "breast_window": _BREAST_WINDOW,
        "pixel_spacing_mm": _PIXEL_SPACING,
    },
    build_photometric_augmentation: {
        "brightness": _STRENGTH.with_meaning("largest relative change"),
        "contrast": _STRENGTH.with_meaning("largest relative change"),
        "saturation": _STRENGTH.with_meaning("largest relative change"),
        "hue": Number(highest=0.5, meaning="largest shift, as a share of the color circle"),
        "jitter_probability": _PROBABILITY.with_meaning("of changing these four"),
        "grayscale_probability": _PROBABILITY.with_meaning("of turning gray"),
        "blur_sigma_range": ListOf(
            item=Number(above=True, highest=1000),
            shortest=2,
            longest=2,
            ascending=True,
            meaning="pixels; least and greatest standard deviation of the blur",
        ),
        "blur_probability": _PROBABILITY.with_meaning("of the blur"),
        "window_jitter": Number(
            highest=0.4, meaning="largest shift of each end of the window, as a share of its width"
        ),
        "gamma_range": _FACTORS.with_meaning("least and greatest gamma"),
        "window_probability": _PROBABILITY.with_meaning("of another window and gamma"),
    },
    FROCEvaluator: {
        "dataset_name": Text(meaning="data set with the ground truth"),
        "nms_iou": Number(
            highest=1,
            optional=True,
            meaning="IoU of non-maximum suppression before the evaluation; null for none",
        ),
        "iou_threshold": Number(
            above=True,
            highest=1,
            optional=True,
            meaning="IoU of a hit; null: the detection's center lies in the lesion's box",
        ),
        "hit_rule": Text(
            choices=HIT_RULES,
            meaning="for comparison with published figures only, and with nms_iou=null: "
            "published_script, where a public script takes the lesion to be",
        ),
        "bootstrap": WholeNumber(
            highest=1_000_000,
            meaning="resamples of the patients for 95% intervals; 0 for no intervals",
        ),
        "seed": WholeNumber(highest=2**32 - 1, meaning="of the resampling"),
        "score": Number(highest=1, meaning="threshold of F1, sensitivity and specificity"),
        "operating_points": ListOf(
            item=Number(above=True, highest=MOST_FALSE_POSITIVES),
            meaning="false positives per image (FPI) at which sensitivities are reported",
        ),
        "output_dir": Text(
            optional=True, meaning="folder of detections, results and curve; null for none"
        ),
    },
    AveragePrecisionEvaluator: {
        "dataset_name": Text(meaning="data set with the ground truth"),
        "output_dir": Text(optional=True, meaning="folder of the detections; null for none"),
    },
    COCOEvaluator: {
        "dataset_name": Text(meaning="data set with the ground truth"),
        "tasks": ListOf(
            item=Text(choices=("bbox",)),
            optional=True,
            meaning="bbox alone; null: by the detections",
        ),
        "distributed": Flag(meaning="collect the detections of all processes"),
        "output_dir": Text(optional=True, meaning="folder of the detections; null for none"),
        "max_dets_per_image": Either(
            kinds=(WholeNumber(lowest=1), ListOf(item=WholeNumber(lowest=1), shortest=3)),
            optional=True,
            meaning="detections an image that count",
        ),
        "use_fast_impl": Flag(meaning="Detectron2's evaluation in C++"),
        "allow_cached_coco": Flag(
            meaning="keep the converted annotations of data sets without a COCO file"
        ),
    },
}

ARGUMENTS: Mapping[Callable[..., Any], Mapping[str, Value]] = {
    **DATA,
    **OPTIMIZATION,
    **MODEL,
    **HOOKS,
}
"""Keys of a group with a ``_target_``, by what the ``_target_`` is."""
