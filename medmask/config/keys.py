"""The keys of a config and the values they may hold: run, data, optimizer, schedule, evaluators.

The parts of the model and the loss hooks are in :mod:`medmask.config.model_keys`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from detectron2.data.transforms import Augmentation
from detectron2.evaluation import COCOEvaluator
from detectron2.solver import WarmupParamScheduler
from fvcore.common import param_scheduler

from medmask.config.model_keys import MODEL_AND_HOOK_ARGUMENTS
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
from medmask.data import (
    DetectionMapper,
    PairedViewMapper,
    build_photometric_augmentation,
    build_test_augmentation,
    build_test_loader,
    build_train_augmentation,
    build_train_loader,
)
from medmask.evaluation import AveragePrecisionEvaluator, FROCEvaluator
from medmask.solver.learning_rate import StepSchedule
from medmask.solver.optimizer import build_parameter_groups

TRAIN: Mapping[str, Value] = {
    "output_dir": Text(meaning="folder for all that the run leaves"),
    "init_checkpoint": Text(
        empty=True,
        optional=True,
        meaning="weights to start from: a file, or a detectron2:// address; empty for none",
    ),
    "fresh_class_heads": Flag(
        meaning="whether class heads start anew where those weights have none or other ones"
    ),
    "max_iter": WholeNumber(lowest=1, highest=10**9, meaning="iterations of the run"),
    "seed": WholeNumber(highest=2**32 - 1, meaning="of weights, samples and augmentation"),
    "device": Text(meaning="auto (a GPU if there is one), cpu, cuda, or cuda:N for GPU number N"),
    "amp.enabled": Flag(meaning="mixed precision"),
    "amp.dtype": Text(choices=("bf16", "fp16"), meaning="its number format"),
    "clip_gradient_norm": Number(
        above=True, infinite=True, meaning="largest norm of the gradient of all parameters together"
    ),
    "gradient_accumulation": WholeNumber(
        lowest=1, meaning="batches whose gradients are averaged for one update"
    ),
    "ddp.broadcast_buffers": Flag(meaning="for models that train BatchNorm in several processes"),
    "checkpointer.period": Period(meaning="from one checkpoint to the next"),
    "checkpointer.max_to_keep": WholeNumber(
        lowest=1, optional=True, meaning="checkpoints that are kept; null keeps all"
    ),
    "eval_period": Period(or_end=True, meaning="from one evaluation to the next"),
    "best_metric": Text(meaning="result that decides which model is the best, as froc/R@0.3"),
    "log_period": WholeNumber(lowest=1, meaning="iterations from one line of the log to the next"),
}
"""Keys of ``train``: all that there are."""

_DATASET = OneOrList(item=Text(), meaning="names of registered data sets")
_WORKERS = WholeNumber(highest=1024, meaning="worker processes of each process")
_PROBABILITY = Number(highest=1)
_PIXELS = WholeNumber(lowest=1, highest=100_000)
_STRENGTH = Number(meaning="largest relative change")

_DATA: Mapping[Callable, Mapping[str, Value]] = {
    build_train_loader: {
        "dataset": _DATASET,
        "mapper": Part(),
        "total_batch_size": WholeNumber(lowest=1, highest=1_000_000, meaning="in all processes"),
        "num_workers": _WORKERS,
        "seed": WholeNumber(highest=2**63 - 1),
        "label_fraction": Number(above=True, highest=1, meaning="share of the patients"),
        "label_seed": WholeNumber(highest=2**32 - 1, meaning="which patients these are"),
    },
    build_test_loader: {
        "dataset": _DATASET,
        "mapper": Part(),
        "batch_size": WholeNumber(lowest=1, highest=1_000_000, meaning="in each process"),
        "num_workers": _WORKERS,
    },
    DetectionMapper: {
        "with_boxes": Flag(meaning="give the boxes"),
        "augmentation": Part(of=Augmentation),
        "photometric": Part(of=Augmentation, optional=True),
    },
    PairedViewMapper: {
        "with_boxes": Flag(meaning="give the boxes"),
        "augmentation": Part(of=Augmentation),
        "photometric": Part(of=Augmentation),
    },
    build_train_augmentation: {
        "short_edge_lengths": ListOf(item=_PIXELS, meaning="pixels, to choose from"),
        "max_size": _PIXELS,
        "flip_probability": _PROBABILITY,
        "crop_probability": _PROBABILITY,
        "crop_short_edge_lengths": ListOf(item=_PIXELS, meaning="pixels, to choose from"),
        "crop_size_range": ListOf(
            item=_PIXELS, shortest=2, longest=2, ascending=True, meaning="pixels"
        ),
    },
    build_test_augmentation: {"short_edge_length": _PIXELS, "max_size": _PIXELS},
    build_photometric_augmentation: {
        "brightness": _STRENGTH,
        "contrast": _STRENGTH,
        "saturation": _STRENGTH,
        "hue": Number(highest=0.5, meaning="largest shift, as a share of the color circle"),
        "jitter_probability": _PROBABILITY,
        "grayscale_probability": _PROBABILITY,
        "blur_sigma_range": ListOf(
            item=Number(above=True, highest=1000),
            shortest=2,
            longest=2,
            ascending=True,
            meaning="pixels",
        ),
        "blur_probability": _PROBABILITY,
    },
    FROCEvaluator: {
        "dataset_name": Text(),
        "nms_iou": Number(highest=1, optional=True),
        "iou_threshold": Number(above=True, highest=1, optional=True),
        "bootstrap": WholeNumber(highest=1_000_000, meaning="resamples of the patients"),
        "seed": WholeNumber(highest=2**32 - 1, meaning="of the resampling"),
        "score": Number(highest=1),
        "operating_points": ListOf(item=Number(above=True), meaning="false positives per image"),
        "output_dir": Text(optional=True),
    },
    AveragePrecisionEvaluator: {"dataset_name": Text(), "output_dir": Text(optional=True)},
    COCOEvaluator: {
        "dataset_name": Text(),
        "tasks": ListOf(item=Text(choices=("bbox",)), optional=True),
        "distributed": Flag(),
        "output_dir": Text(optional=True),
        "max_dets_per_image": Either(
            kinds=(WholeNumber(lowest=1), ListOf(item=WholeNumber(lowest=1), shortest=3)),
            optional=True,
        ),
        "use_fast_impl": Flag(),
        "allow_cached_coco": Flag(),
    },
}

_LR = Number(meaning="learning rate")
_WEIGHT_DECAY = Number()
_ADAM: Mapping[str, Value] = {
    "params": Part(of=list),
    "lr": _LR,
    "betas": ListOf(item=Number(highest=1, below=True), shortest=2, longest=2),
    "eps": Number(above=True),
    "weight_decay": _WEIGHT_DECAY,
    "amsgrad": Flag(),
    "maximize": Flag(),
    "foreach": Flag(optional=True),
    "fused": Flag(optional=True),
    "differentiable": Flag(),
}
_MULTIPLIER = Number(meaning="factor on the learning rate")

_OPTIMIZATION: Mapping[Callable, Mapping[str, Value]] = {
    build_parameter_groups: {
        "lr": _LR,
        "weight_decay": _WEIGHT_DECAY,
        "lr_factors": MappingTo(
            item=Number(optional=True), meaning="part of the model -> factor on the learning rate"
        ),
    },
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    torch.optim.SGD: {
        "params": Part(of=list),
        "lr": _LR,
        "momentum": Number(highest=1, below=True),
        "dampening": Number(highest=1),
        "weight_decay": _WEIGHT_DECAY,
        "nesterov": Flag(),
        "maximize": Flag(),
        "foreach": Flag(optional=True),
        "fused": Flag(optional=True),
        "differentiable": Flag(),
    },
    StepSchedule: {
        "values": ListOf(item=_MULTIPLIER),
        "milestones": ListOf(
            item=Number(above=True, highest=1, below=True),
            shortest=0,
            ascending=True,
            meaning="shares of the run at which the next value takes over",
        ),
    },
    WarmupParamScheduler: {
        "scheduler": Part(of=param_scheduler.ParamScheduler),
        "warmup_factor": Number(highest=1, meaning="multiplier at the start"),
        "warmup_length": Number(highest=1, below=True, meaning="share of the run"),
        "warmup_method": Text(choices=("linear", "constant")),
        "rescale_interval": Flag(),
    },
    param_scheduler.ConstantParamScheduler: {"value": _MULTIPLIER},
    param_scheduler.CosineParamScheduler: {"start_value": _MULTIPLIER, "end_value": _MULTIPLIER},
    param_scheduler.LinearParamScheduler: {"start_value": _MULTIPLIER, "end_value": _MULTIPLIER},
    param_scheduler.MultiStepParamScheduler: {
        "values": ListOf(item=_MULTIPLIER),
        "num_updates": WholeNumber(lowest=1, optional=True, meaning="iterations"),
        "milestones": ListOf(
            item=WholeNumber(lowest=1), ascending=True, optional=True, meaning="iterations"
        ),
    },
}

ARGUMENTS: Mapping[Callable[..., Any], Mapping[str, Value]] = {
    **_DATA,
    **_OPTIMIZATION,
    **MODEL_AND_HOOK_ARGUMENTS,
}
"""Keys of a group with a ``_target_``, by what the ``_target_`` is."""
