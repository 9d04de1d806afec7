"""Values that the keys of a config may hold: optimizers and schedules of the learning rate."""

from collections.abc import Callable, Mapping

import torch
from detectron2.solver import WarmupParamScheduler
from fvcore.common import param_scheduler

from medmask.config.values import Flag, ListOf, MappingTo, Number, Part, Text, Value, WholeNumber
from medmask.solver.learning_rate import StepSchedule
from medmask.solver.optimizer import build_parameter_groups

_LR = Number(meaning="learning rate")
_WEIGHT_DECAY = Number()
_IMPLEMENTATION: Mapping[str, Value] = {
    "maximize": Flag(meaning="maximize the loss"),
    "foreach": Flag(
        optional=True,
        meaning="PyTorch's implementation over lists of tensors; null: PyTorch's choice",
    ),
    "fused": Flag(optional=True, meaning="PyTorch's fused implementation; null: PyTorch's choice"),
    "differentiable": Flag(meaning="differentiate through the update"),
}
_ADAM: Mapping[str, Value] = {
    "params": Part(of=list, meaning="parameters, in groups"),
    "lr": _LR.with_meaning("learning rate"),
    "betas": ListOf(
        item=Number(highest=1, below=True),
        shortest=2,
        longest=2,
        meaning="decay of the two moments",
    ),
    "eps": Number(above=True, meaning="added to the denominator"),
    "weight_decay": _WEIGHT_DECAY.with_meaning("of all parameters"),
    "amsgrad": Flag(meaning="the AMSGrad variant"),
    **_IMPLEMENTATION,
}
_MULTIPLIER = Number(meaning="factor on the learning rate")

OPTIMIZATION: Mapping[Callable, Mapping[str, Value]] = {
    build_parameter_groups: {
        "lr": _LR.with_meaning("learning rate where no factor applies"),
        "weight_decay": _WEIGHT_DECAY.with_meaning("of all parameters"),
        "lr_factors": MappingTo(
            item=Number(optional=True),
            meaning="part of the model -> factor on its learning rate; null: none",
        ),
    },
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    torch.optim.SGD: {
        "params": Part(of=list, meaning="parameters, in groups"),
        "lr": _LR.with_meaning("learning rate"),
        "momentum": Number(highest=1, below=True, meaning="of the update"),
        "dampening": Number(highest=1, meaning="of the momentum"),
        "weight_decay": _WEIGHT_DECAY.with_meaning("of all parameters"),
        "nesterov": Flag(meaning="Nesterov momentum"),
        **_IMPLEMENTATION,
    },
    StepSchedule: {
        "values": ListOf(
            item=_MULTIPLIER, meaning="factors on the learning rate, one more than milestones"
        ),
        "milestones": ListOf(
            item=Number(above=True, highest=1, below=True),
            shortest=0,
            ascending=True,
            meaning="shares of the run at which the next value takes over",
        ),
    },
    WarmupParamScheduler: {
        "scheduler": Part(of=param_scheduler.ParamScheduler, meaning="schedule after the warm-up"),
        "warmup_factor": Number(highest=1, meaning="factor at the start"),
        "warmup_length": Number(highest=1, below=True, meaning="share of the run"),
        "warmup_method": Text(choices=("linear", "constant"), meaning="form of the warm-up"),
        "rescale_interval": Flag(
            meaning="squeeze the whole schedule into the time after the warm-up"
        ),
    },
    param_scheduler.ConstantParamScheduler: {
        "value": _MULTIPLIER.with_meaning("factor on the learning rate")
    },
    param_scheduler.CosineParamScheduler: {
        "start_value": _MULTIPLIER.with_meaning("factor at the start"),
        "end_value": _MULTIPLIER.with_meaning("factor at the end"),
    },
    param_scheduler.LinearParamScheduler: {
        "start_value": _MULTIPLIER.with_meaning("factor at the start"),
        "end_value": _MULTIPLIER.with_meaning("factor at the end"),
    },
    param_scheduler.MultiStepParamScheduler: {
        "values": ListOf(
            item=_MULTIPLIER, meaning="factors on the learning rate, one more than milestones"
        ),
        "num_updates": WholeNumber(lowest=1, optional=True, meaning="iterations of the schedule"),
        "milestones": ListOf(
            item=WholeNumber(lowest=1),
            ascending=True,
            optional=True,
            meaning="iterations at which the next value takes over",
        ),
    },
}
"""As :data:`medmask.config.keys.ARGUMENTS`, of optimizers and schedules."""
