"""The detector and the trainer of a config, with its devices, processes and precision."""

import warnings

import torch
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from medmask.config.building import build
from medmask.data.loaders import ResumableLoader
from medmask.engine.device import select_device
from medmask.engine.gradient_norm_hook import GradientNormHook
from medmask.engine.trainer import MedMaskTrainer
from medmask.errors import InputError
from medmask.stages.loss_hook import LossHook

AMP_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def build_model(config: DictConfig) -> nn.Module:
    """The model of a config on its device, with fresh weights."""
    model = build(config, "model", nn.Module)
    return model.to(select_device(config.train.device))


def distribute(model: nn.Module) -> nn.Module:
    """Wrap a model, on the device of this process, for training in several; one needs no wrapper.

    Buffers are left to :class:`~medmask.engine.buffers.BufferBroadcast`.
    """
    if comm.get_world_size() == 1:
        return model
    # Detectron2's create_ddp_model names a GPU even where the model is on the CPU.
    devices = [comm.get_local_rank()] if torch.cuda.is_available() else None
    if devices is None:  # channels come last there, and gradients of 1 x 1 kernels are copied
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    return DistributedDataParallel(model, device_ids=devices, broadcast_buffers=False)


def build_trainer(config: DictConfig, model: nn.Module) -> MedMaskTrainer:
    """The trainer of a config with its loader, optimizer and loss hooks.

    Args:
        config: of the run.
        model: what :func:`build_model` gave; loss hooks add to it what only training uses, and it
            is wrapped if there are several processes.
    """
    options = config.train
    loss_hooks = [
        build(config, f"loss_hooks.{name}", LossHook)
        for name, hook in (config.get("loss_hooks") or {}).items()
        if hook is not None
    ]
    if options.gradient_norm_period:
        loss_hooks.append(GradientNormHook(options.gradient_norm_period))
    for hook in loss_hooks:
        hook.build(model)
    config.optimizer.params.model = model
    optimizer = build(config, "optimizer", torch.optim.Optimizer)
    config.optimizer.params.model = None  # or copies of the config would copy the model
    return MedMaskTrainer(
        distribute(model),
        build(config, "dataloader.train", ResumableLoader),
        optimizer,
        clip_gradient_norm=options.clip_gradient_norm,
        amp_dtype=_amp_dtype(config),
        gradient_accumulation=options.gradient_accumulation,
        loss_hooks=loss_hooks,
    )


def autocast(config: DictConfig) -> torch.autocast:
    """The precision of a config: a context for what its model computes."""
    device = torch.device(select_device(config.train.device)).type
    dtype = _amp_dtype(config)
    return torch.autocast(device, dtype=dtype, enabled=dtype is not None)


def _amp_dtype(config: DictConfig) -> torch.dtype | None:
    amp = config.train.amp
    if amp.dtype not in AMP_DTYPES:
        raise InputError(f"train.amp.dtype is {amp.dtype!r}; choose one of {sorted(AMP_DTYPES)}")
    return AMP_DTYPES[amp.dtype] if amp.enabled else None
