"""Training and evaluation runs of a config."""

import contextlib
import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from detectron2.engine import hooks
from detectron2.evaluation import DatasetEvaluators, inference_on_dataset, print_csv_format
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.structures import Instances
from detectron2.utils import comm
from fvcore.common.param_scheduler import ParamScheduler
from omegaconf import DictConfig
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from medmask.checkpoint import MedMaskCheckpointer, save_weights
from medmask.config.building import build, build_part
from medmask.data.dataset_dicts import has_lesions
from medmask.data.loaders import ResumableLoader, TrainLoader
from medmask.engine.buffers import BufferBroadcast
from medmask.engine.device import select_device
from medmask.engine.evaluation_hook import EvaluationHook, results_of, write_results
from medmask.engine.evaluators import build_evaluators
from medmask.engine.gradient_norm_hook import GradientNormHook
from medmask.engine.last_step_checkpointer import LastStepCheckpointer
from medmask.engine.learning import LearningReport
from medmask.engine.memory import release_freed_memory
from medmask.engine.periodic_checkpointer import PeriodicCheckpointer
from medmask.engine.progress import MetricWriters, build_writers
from medmask.engine.run_checks import check_classes, data_sets
from medmask.engine.stop_request import StopRequest
from medmask.engine.trainer import MedMaskTrainer
from medmask.errors import InputError
from medmask.modeling import MedMask
from medmask.solver.learning_rate import bound_to_run
from medmask.stages.adabn import adapt_batchnorm
from medmask.stages.loss_hook import LossHook
from medmask.utils.counts import counted
from medmask.utils.files import remove_abandoned_files
from medmask.utils.periods import to_iterations, to_iterations_or_end
from medmask.utils.signals import StoppedBySignal

logger = logging.getLogger(__name__)

AMP_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def build_model(config: DictConfig) -> nn.Module:
    """The model of a config on its device, with fresh weights."""
    model = build(config, "model", nn.Module)
    return model.to(select_device(config.train.device))


def distribute(model: nn.Module) -> nn.Module:
    """Wrap a model, on the device of this process, for training in several; one needs no wrapper.

    Buffers are left to :class:`BufferBroadcast`.
    """
    if comm.get_world_size() == 1:
        return model
    # Detectron2's create_ddp_model names a GPU even where the model is on the CPU.
    devices = [comm.get_local_rank()] if torch.cuda.is_available() else None
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


class OneByOne(nn.Module):
    """A detector that predicts on each image of a batch by itself.

    Padding to the size of a neighbor changes detections, and the size of a batch changes the last
    bits of scores, which is enough to swap two of them. Alone, an image gets the same detections
    whatever it is loaded with, here and by the predictor. It has the mode (training or not) of the
    detector: what switches it for a while, and back, leaves the detector as it was.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, batched_inputs: list[dict]) -> list[dict[str, Instances]]:
        """Detect in inference mode: one dict with ``instances`` an image."""
        return [self.model([image])[0] for image in batched_inputs]


def evaluate(config: DictConfig, model: nn.Module, name: str = "") -> dict[str, Any]:
    """Evaluate on ``dataloader.test`` with ``dataloader.evaluator``.

    Args:
        config: of the run.
        model: what to evaluate.
        name: of a model that is not the trained one; the evaluators' files then go to a folder of
            that name in ``train.output_dir``.

    Returns:
        Nested dicts of numbers in the main process; ``{}`` in others.
    """
    if name:
        config = copy.deepcopy(config)
        config.train.output_dir = str(Path(config.train.output_dir) / name)
    release_freed_memory()  # or a loader's processes, which are copies, would come to have it, too
    loader = build(config, "dataloader.test")
    evaluator = DatasetEvaluators(build_evaluators(config))
    with autocast(config):
        results = inference_on_dataset(OneByOne(model), loader, evaluator) or {}
    if comm.is_main_process():
        print_csv_format(results)
    return results


def evaluate_checkpoint(
    config: DictConfig, adapt_batchnorm_to: str | None = None
) -> dict[str, Any]:
    """Evaluate ``train.init_checkpoint``; the results are kept in ``evaluation.json``.

    Args:
        config: of the run.
        adapt_batchnorm_to: name of a data set whose images, as the test loader gives them, lend
            the model their BatchNorm statistics first; the model is kept in ``model_adabn.pth``.
    """
    if not config.train.init_checkpoint:
        raise InputError("--eval-only needs the weights: add train.init_checkpoint=FILE")
    check_classes(config, is_training=False)
    model, output_dir = build_model(config), Path(config.train.output_dir)
    MedMaskCheckpointer(model).load_for_inference(config.train.init_checkpoint)
    if adapt_batchnorm_to:
        part = {**config.dataloader.test, "dataset": adapt_batchnorm_to}
        loader = build_part(part, "dataloader.test")
        adapt_batchnorm(cast(MedMask, model), loader)  # Detectron2's detectors have the same parts
        save_weights(model, output_dir / "model_adabn.pth")
    results = evaluate(config, model)
    if comm.is_main_process():
        write_results(flatten_results_dict(results), output_dir)
    return results


def train(config: DictConfig, resume: bool) -> dict[str, Any]:
    """Train as the config says.

    Args:
        config: with ``model``, ``dataloader``, ``optimizer``, ``lr_multiplier``, ``train``.
        resume: continue from the last checkpoint in ``train.output_dir`` if there is one.

    Returns:
        The results of the last evaluation (in the main process).
    """
    options = config.train
    check_classes(config)
    eval_period = to_iterations_or_end(options.eval_period, options.max_iter, "train.eval_period")
    checkpoint_period = to_iterations(
        options.checkpointer.period, options.max_iter, "train.checkpointer.period"
    )
    if comm.is_main_process():
        for path in remove_abandoned_files(options.output_dir):
            logger.info(f"Removed {path}, which a killed process had not finished.")
    schedule = bound_to_run(build(config, "lr_multiplier", ParamScheduler), options.max_iter)
    model = build_model(config)
    trainer = build_trainer(config, model)
    trainer.set_run_length(options.max_iter)  # before anything is written
    learning = LearningReport(config, trainer.loss_hooks)
    learning.check()
    if isinstance(trainer.loader, TrainLoader):
        _tell_of_labeled_images(trainer.loader, options)
    checkpointer = MedMaskCheckpointer(
        trainer.model, options.output_dir, optimizer=trainer.optimizer, trainer=trainer
    )
    extra_models = collect_extra_models(trainer.loss_hooks)
    evaluation = EvaluationHook(
        eval_period,
        lambda evaluated, name: _evaluate_or_stop(config, evaluated, name, trainer.stop_request),
        checkpointer,
        options.output_dir,
        options.best_metric,
        extra_models,
        learning,
        datasets=[name for _, name in data_sets(config, is_training=False)],
    )
    trainer.register_hooks(
        [
            BufferBroadcast() if options.ddp.broadcast_buffers else None,
            hooks.IterationTimer(),
            hooks.LRScheduler(trainer.optimizer, schedule),
            # before all that write files or evaluate, so that no fault there can lose work
            LastStepCheckpointer(checkpointer),
            PeriodicCheckpointer(
                checkpointer, checkpoint_period, max_to_keep=options.checkpointer.max_to_keep
            ),
            evaluation,
        ]
    )
    start_iter = 0
    if resume and checkpointer.resume():
        start_iter = trainer.iter + 1
    else:
        MedMaskCheckpointer(model).load_start_weights(
            options.init_checkpoint, fresh_class_heads=options.fresh_class_heads
        )
    if start_iter >= options.max_iter:
        logger.info(
            f"Nothing to do: {start_iter} of "
            f"{counted(options.max_iter, 'iteration is', 'iterations are')} done."
        )
    if comm.is_main_process():
        writers = build_writers(config, start_iter, trainer.past_metrics, resume=resume)
        trainer.register_hooks([MetricWriters(writers, period=options.log_period)])
    try:
        trainer.train(start_iter, options.max_iter)
    except StoppedBySignal as stop:
        raise StoppedBySignal(stop.number, _describe_stop(stop, checkpointer, config)) from None
    _save_final_weights(extra_models, options.output_dir)
    return results_of(evaluation.history[-1]) if comm.is_main_process() else {}


def _tell_of_labeled_images(loader: TrainLoader, options: DictConfig) -> None:
    """Log how often the run sees them, and warn where none has a lesion."""
    batches = options.max_iter * options.gradient_accumulation
    epochs = batches / loader.batches_per_epoch
    logger.info(f"{counted(options.max_iter, 'iteration')}: {epochs:.1f} epochs of labeled images.")
    if not any(map(has_lesions, loader.stream.dataset_dicts)):
        logger.warning(
            "No image of dataloader.train.dataset has a lesion, so the detector learns that "
            "there are none: name a set with boxes."
        )


def collect_extra_models(loss_hooks: Sequence[LossHook]) -> dict[str, nn.Module]:
    """Collect what stages give besides the trained model.

    Raises:
        InputError: two models have one name, so the files of one would replace the other's.
    """
    models: dict[str, nn.Module] = {}
    for hook in loss_hooks:
        for name, model in hook.extra_models().items():
            if name in models or name == "model":
                raise InputError(
                    f"{type(hook).__name__} gives a model {name!r}, but another one of the run has "
                    "that name: rename it in extra_models"
                )
            models[name] = model
    return models


def _evaluate_or_stop(
    config: DictConfig, model: nn.Module, name: str, stop_request: StopRequest
) -> dict[str, Any]:
    """Evaluate; a signal that asks to stop is obeyed on the way, and the evaluation made up for.

    One of several processes cannot leave the others alone in it, so they first finish.
    """
    interrupting = stop_request.interrupting()
    with interrupting if comm.get_world_size() == 1 else contextlib.nullcontext():
        return evaluate(config, model, name)


def _describe_stop(
    stop: StoppedBySignal, checkpointer: MedMaskCheckpointer, config: DictConfig
) -> str:
    if checkpointer.saved_iteration is None:
        return f"{stop} before the first iteration was complete"
    done, total = checkpointer.saved_iteration + 1, config.train.max_iter
    iterations = counted(total, "iteration is", "iterations are")
    return f"{stop}: {done} of {iterations} done and saved; --resume goes on from there"


def _save_final_weights(models: Mapping[str, nn.Module], output_dir: str) -> None:
    for name, model in models.items():
        save_weights(model, Path(output_dir) / f"{name}_final.pth")


def _amp_dtype(config: DictConfig) -> torch.dtype | None:
    amp = config.train.amp
    if amp.dtype not in AMP_DTYPES:
        raise InputError(f"train.amp.dtype is {amp.dtype!r}; choose one of {sorted(AMP_DTYPES)}")
    return AMP_DTYPES[amp.dtype] if amp.enabled else None


def autocast(config: DictConfig) -> torch.autocast:
    """The precision of a config: a context for what its model computes."""
    device = torch.device(select_device(config.train.device)).type
    dtype = _amp_dtype(config)
    return torch.autocast(device, dtype=dtype, enabled=dtype is not None)
