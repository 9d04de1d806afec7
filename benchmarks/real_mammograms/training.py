"""Training and testing of one cell in a process of its own, as an order file says.

Writes ``model_final.pth``, ``config.yaml`` and ``training.json`` (steps, minutes and so on) into
the cell's folder, and ``<test>/froc_detections.json`` for each test. What is there already is not
made again.
"""

import argparse
import contextlib
import logging
import os
from pathlib import Path

from detectron2.evaluation import inference_on_dataset
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from fvcore.common.param_scheduler import ParamScheduler
from omegaconf import DictConfig

from medmask.checkpoint import MedMaskCheckpointer, save_weights
from medmask.config.building import build
from medmask.config.yaml_files import write_config_yaml
from medmask.data.loaders import load_dataset_dicts
from medmask.engine.building import build_model, build_trainer
from medmask.engine.evaluation import OneByOne
from medmask.engine.learning import LearningReport
from medmask.engine.memory import keep_freed_memory, release_freed_memory
from medmask.engine.run_checks import check_run
from medmask.engine.run_lock import lock_folder
from medmask.engine.trainer import MedMaskTrainer
from medmask.evaluation import FROCEvaluator
from medmask.solver.learning_rate import bound_to_run
from medmask.utils.command_line import command_line_tool
from medmask.utils.file_hash import hash_if_there
from medmask.utils.json_files import finite_values
from real_mammograms import yolo
from real_mammograms.averaging import average
from real_mammograms.budget import Budget, BudgetSpentError
from real_mammograms.cell_config import CONFIG, load_cell_config
from real_mammograms.cells import AVERAGES, PEERS, YOLO
from real_mammograms.order import RECORD, WEIGHTS, Order, detections_file
from real_mammograms.peer_config import choose_anchor_sizes

logger = logging.getLogger(__name__)

_WITHOUT_END = 10**9
"""Steps, where minutes end a training."""


def train(order: Order, config: DictConfig) -> None:
    """Train a cell, and leave its weights and its record.

    The model that counts is one that a loss hook gives beside the trained one, where there is any:
    the teacher, or else the average.
    """
    model = build_model(config)
    trainer = build_trainer(config, model)
    start_sha256 = hash_if_there(order.start_weights)
    MedMaskCheckpointer(model).load_start_weights(config.train.init_checkpoint)
    report = LearningReport(config, trainer.loss_hooks)
    report.check()
    budget = _run(trainer, config, order.minutes)
    models = {"trained": model}
    for hook in trainer.loss_hooks:
        models |= hook.extra_models()
    counted = "teacher" if "teacher" in models else list(models)[-1]
    save_weights(models[counted], order.folder / WEIGHTS)
    order.write_record(
        model=counted,
        start_sha256=start_sha256,
        steps=budget.steps,
        minutes=budget.seconds / 60,
        elapsed_minutes=budget.elapsed_seconds / 60,
        batch_size=config.dataloader.train.total_batch_size,
        images=len(load_dataset_dicts(config.dataloader.train.dataset)),
        parameters=sum(p.numel() for p in model.parameters()),
        learning=finite_values(report.measure(config.train.max_iter)),
    )


def test(order: Order, config: DictConfig) -> None:
    """Detect in the images of each test that has no detections yet."""
    tests = [each for each in order.tests if not detections_file(order.folder, each).is_file()]
    if not tests:
        return
    release_freed_memory()  # of the training
    model = build_model(config)
    MedMaskCheckpointer(model).load_for_inference(str(order.folder / WEIGHTS))
    for name in tests:
        dataset = order.cell.test_set(name)
        logger.info(f"testing on {dataset}")
        config.dataloader.test.dataset = dataset
        folder = detections_file(order.folder, name).parent
        evaluator = FROCEvaluator(dataset, output_dir=str(folder))
        inference_on_dataset(OneByOne(model), build(config, "dataloader.test"), evaluator)


def _run(trainer: MedMaskTrainer, config: DictConfig, minutes: float | None) -> Budget:
    schedule = build(config, "lr_multiplier", ParamScheduler)
    budget = Budget(bound_to_run(schedule, config.train.max_iter), minutes)
    trainer.register_hooks([budget])
    with contextlib.suppress(BudgetSpentError):
        trainer.train(0, config.train.max_iter if minutes is None else _WITHOUT_END)
    return budget


def _set_up(order: Order, seed: int) -> None:
    for name in ("detectron2", "fvcore", "medmask", "real_mammograms"):
        setup_logger(name=name)
    if order.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order.cores)  # of worker processes, too
    keep_freed_memory()
    seed_all_rng(seed)


@command_line_tool
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("order", type=Path)
    order = Order.read(parser.parse_args().order)
    config = load_cell_config(order)
    if order.cell.method in PEERS:
        choose_anchor_sizes(config)
    _set_up(order, config.train.seed)
    train_cell, test_cell = (train, test)
    if order.cell.method == YOLO:
        train_cell, test_cell = (yolo.train, yolo.test)
    elif order.cell.method in AVERAGES:
        train_cell = average
    with lock_folder(order.folder):
        if not (order.folder / RECORD).is_file():  # else it is there to be tested
            check_run(config)
            write_config_yaml(config, order.folder / CONFIG)
            train_cell(order, config)
        test_cell(order, config)


if __name__ == "__main__":
    main()
