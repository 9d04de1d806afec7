"""Evaluation of a detector on the test set of a config."""

import copy
from pathlib import Path
from typing import Any, cast

from detectron2.evaluation import DatasetEvaluators, inference_on_dataset, print_csv_format
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.structures import Instances
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from medmask.checkpoint import MedMaskCheckpointer, save_weights
from medmask.config.building import build, build_part
from medmask.engine.building import autocast, build_model
from medmask.engine.evaluation_hook import write_results
from medmask.engine.evaluation_results import to_numbers
from medmask.engine.evaluators import build_evaluators
from medmask.engine.memory import release_freed_memory
from medmask.engine.run_checks import check_classes
from medmask.errors import InputError
from medmask.modeling import MedMask
from medmask.stages.adabn import adapt_batchnorm
from medmask.utils.shared_failure import raise_together


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

    Raises:
        InputError: an evaluator gives what is no number; in all processes.
    """
    if name:
        config = copy.deepcopy(config)
        config.train.output_dir = str(Path(config.train.output_dir) / name)
    release_freed_memory()  # or a loader's processes, which are copies, would come to have it, too
    loader = build(config, "dataloader.test")
    evaluator = DatasetEvaluators(build_evaluators(config))
    with autocast(config):
        found = inference_on_dataset(OneByOne(model), loader, evaluator) or {}
    results, problem = {}, None
    if comm.is_main_process():
        try:
            results = to_numbers(found)
            print_csv_format(results)
        except InputError as error:
            problem = error
    raise_together(problem)
    return results


def evaluate_checkpoint(
    config: DictConfig, adapt_batchnorm_to: str | None = None
) -> dict[str, Any]:
    """Evaluate ``train.init_checkpoint``; the results are kept in ``evaluation.json``.

    Args:
        config: of the run.
        adapt_batchnorm_to: name of a data set whose images, as the test loader gives them, lend
            the model their BatchNorm statistics first; the model is kept in ``model_adabn.pth``.

    Raises:
        InputError: no weights are named, they do not fit the config, or its classes not its data.
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
