"""Training runs of a config."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.engine import hooks
from detectron2.utils import comm
from fvcore.common.param_scheduler import ParamScheduler
from omegaconf import DictConfig
from torch import nn

from medmask.checkpoint import MedMaskCheckpointer, save_weights
from medmask.config.building import build
from medmask.data.loaders import TrainLoader
from medmask.engine.buffers import BufferBroadcast
from medmask.engine.building import build_model, build_trainer
from medmask.engine.evaluation import evaluate
from medmask.engine.evaluation_hook import EvaluationHook, results_of
from medmask.engine.former_run import FormerRunRemoval
from medmask.engine.labeled_images import tell_of_labeled_images
from medmask.engine.last_step_checkpointer import LastStepCheckpointer
from medmask.engine.learning import LearningReport
from medmask.engine.periodic_checkpointer import PeriodicCheckpointer
from medmask.engine.progress import MetricWriters, build_writers
from medmask.engine.run_checks import check_classes, data_sets
from medmask.engine.stop_request import StopRequest
from medmask.errors import InputError
from medmask.solver.learning_rate import bound_to_run
from medmask.stages.loss_hook import LossHook
from medmask.utils.counts import counted
from medmask.utils.files import remove_abandoned_files
from medmask.utils.periods import to_iterations, to_iterations_or_end
from medmask.utils.signals import StoppedBySignal

logger = logging.getLogger(__name__)


def train(config: DictConfig, resume: bool) -> dict[str, Any]:
    """Train as the config says.

    Args:
        config: with ``model``, ``dataloader``, ``optimizer``, ``lr_multiplier``, ``train``.
        resume: continue from the last checkpoint in ``train.output_dir`` if there is one.

    Returns:
        The results of the last evaluation (in the main process).

    Raises:
        InputError: a setting makes no sense, weights do not fit, or the training cannot go on; see
            :meth:`MedMaskTrainer.train`.
        StoppedBySignal: a signal came; the iteration that was under way is complete and saved.
    """
    options = config.train
    check_classes(config)
    eval_period = to_iterations_or_end(options.eval_period, options.max_iter, "train.eval_period")
    checkpoint_period = to_iterations(
        options.checkpointer.period, options.max_iter, "train.checkpointer.period"
    )
    _remove_abandoned_files(options.output_dir)
    schedule = bound_to_run(build(config, "lr_multiplier", ParamScheduler), options.max_iter)
    model = build_model(config)
    trainer = build_trainer(config, model)
    trainer.set_run_length(options.max_iter)  # before anything is written
    learning = LearningReport(config, trainer.loss_hooks)
    learning.check()
    if isinstance(trainer.loader, TrainLoader):
        tell_of_labeled_images(trainer.loader, config)
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
            FormerRunRemoval(Path(options.output_dir)),
            PeriodicCheckpointer(
                checkpointer, checkpoint_period, max_to_keep=options.checkpointer.max_to_keep
            ),
            evaluation,
        ]
    )
    if resume and checkpointer.resume():
        start_iter = trainer.iter + 1
    else:
        start_iter = 0
        MedMaskCheckpointer(model).load_start_weights(
            options.init_checkpoint, fresh_class_heads=options.fresh_class_heads
        )
    _tell_if_done(start_iter, options.max_iter)
    if comm.is_main_process():
        writers = build_writers(config, start_iter, trainer.past_metrics, resume=resume)
        trainer.register_hooks([MetricWriters(writers, period=options.log_period)])
    try:
        trainer.train(start_iter, options.max_iter)
    except StoppedBySignal as stop:
        raise StoppedBySignal(stop.number, _describe_stop(stop, checkpointer, config)) from None
    _save_final_weights(extra_models, options.output_dir)
    return results_of(evaluation.history[-1]) if comm.is_main_process() else {}


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


def _remove_abandoned_files(output_dir: str) -> None:
    if comm.is_main_process():
        for path in remove_abandoned_files(output_dir):
            logger.info(f"Removed {path}, which a killed process had not finished.")


def _tell_if_done(start_iter: int, max_iter: int) -> None:
    if start_iter >= max_iter:
        iterations = counted(max_iter, "iteration is", "iterations are")
        logger.info(f"Nothing to do: {start_iter} of {iterations} done.")


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
