"""Checks before a run starts, so that no mistake shows hours later."""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm
from omegaconf import DictConfig, ListConfig, OmegaConf

from medmask.checkpoint.resume_file import has_checkpoint
from medmask.config.building import build_part
from medmask.config.check import check_config
from medmask.data.breast import sets_window
from medmask.data.broken_images import find_broken_images
from medmask.data.catalog import check_registered
from medmask.data.loaders import load_dataset_dicts
from medmask.engine.device import select_device
from medmask.engine.evaluators import (
    build_evaluators,
    check_annotations,
    check_best_metric,
    check_result_names,
)
from medmask.engine.run_folder import RunMode
from medmask.engine.tracking import check_trackers
from medmask.errors import InputError
from medmask.utils.counts import counted
from medmask.utils.failures import describe_failure
from medmask.utils.shared_failure import raise_together, tell_everybody

logger = logging.getLogger(__name__)


def check_run(
    config: DictConfig, mode: RunMode = RunMode.NEW, adapt_batchnorm_to: str | None = None
) -> None:
    """Check everything that a run needs. All processes call this, before any does anything else.

    Args:
        config: of the run.
        mode: what the run is to do.
        adapt_batchnorm_to: data set of an evaluation, besides those of the config.

    Raises:
        InputError: a value is not accepted; a data set, an image, the device, the weights to start
            from or the metric is not there; the output folder cannot be written; or a tracker's
            package is not installed.
    """
    is_training = mode is not RunMode.EVALUATE
    check_config(config)
    select_device(config.train.device)
    if mode is not RunMode.RESUME or not has_checkpoint(config.train.output_dir):
        _check_init_checkpoint(config, is_training)
    _check_data_sets(config, is_training, adapt_batchnorm_to)
    check_classes(config, is_training=is_training)
    if is_training:
        _check_labels(config)
    _check_evaluated_set(config)
    evaluators = build_evaluators(config)
    check_annotations(evaluators)
    check_result_names(evaluators)
    if is_training:
        check_best_metric(config.train.best_metric, evaluators)
    problem = None
    if comm.is_main_process():
        try:
            check_writable(config.train.output_dir)
            if is_training:
                check_trackers(config)
        except InputError as error:
            problem = error
    raise_together(problem)


def check_images(
    config: DictConfig, mode: RunMode = RunMode.NEW, adapt_batchnorm_to: str | None = None
) -> None:
    """Read every image as the run will read it; all processes call this, each reads its share.

    Args:
        config: as for :func:`check_run`.
        mode: likewise.
        adapt_batchnorm_to: likewise.

    Raises:
        InputError: images are broken; names all of them.
    """
    sets = _data_sets_of_run(config, mode is not RunMode.EVALUATE, adapt_batchnorm_to)
    names_of: dict[bool, list[str]] = {}
    for key, name in sets:
        names = names_of.setdefault(_applies_voi(config, key), [])
        if name not in names:
            names.append(name)
    found = []
    for apply_voi, names in names_of.items():
        images = {x["file_name"]: x for name in names for x in load_dataset_dicts(name)}
        logger.info(f"Checking the {counted(len(images), 'image')} of {', '.join(names)}.")
        own = list(images.values())[comm.get_rank() :: comm.get_world_size()]
        workers = config.dataloader.train.num_workers
        found += find_broken_images(own, workers, logger.info, apply_voi=apply_voi)
    faults = dict.fromkeys(fault for others in tell_everybody(found) for fault in others)
    if faults:
        raise InputError(
            "\n".join([f"{counted(len(faults), 'image is', 'images are')} broken:", *faults])
        )


def _applies_voi(config: DictConfig, key: str) -> bool:
    """Tell if the images of a data set are read with the window of a DICOM file.

    Args:
        config: of the run.
        key: of the data set; of one that is none of the config's, the test loader reads the images.
    """
    loader = key.removesuffix(".dataset") if key.endswith(".dataset") else "dataloader.test"
    key = f"{loader}.mapper.augmentation"
    augmentation = OmegaConf.select(config, key)
    return augmentation is None or not sets_window(build_part(augmentation, key))


def check_classes(config: DictConfig, *, is_training: bool = True) -> None:
    """Check that the model has as many classes as each data set that it meets.

    Images that a loss hook takes without boxes may be of any classes.

    Raises:
        InputError: it has not.
    """
    num_classes = OmegaConf.select(config, "model.transformer.num_classes")
    if num_classes is None:  # another kind of model
        return
    for key, name in data_sets(config, is_training):
        with_boxes = OmegaConf.select(config, f"{key.removesuffix('dataset')}mapper.with_boxes")
        if key.startswith("loss_hooks.") and with_boxes is False:
            continue
        classes = MetadataCatalog.get(name).thing_classes
        if len(classes) != num_classes:
            count = counted(len(classes), "class", "classes")
            raise InputError(
                f"{key} is {name}, which has {count} ({', '.join(classes)}), but "
                f"model.transformer.num_classes is {num_classes}: set it to {len(classes)}, or "
                "choose another data set"
            )


def _check_labels(config: DictConfig) -> None:
    """Check that the training loader gives the boxes that supervised training needs."""
    if OmegaConf.select(config, "dataloader.train.mapper.with_boxes") is False:
        raise InputError(
            "dataloader.train.mapper.with_boxes is False, but supervised training needs the boxes: "
            "set it to True"
        )


def _check_evaluated_set(config: DictConfig) -> None:
    """Check that evaluators judge the data set that the test loader reads."""
    read = config.dataloader.test.dataset
    evaluators = config.dataloader.evaluator
    for i, evaluator in enumerate(evaluators if isinstance(evaluators, ListConfig) else []):
        judged = evaluator.get("dataset_name", read)
        if judged != read:
            raise InputError(
                f"dataloader.evaluator.{i}.dataset_name is {judged}, but dataloader.test.dataset "
                f"is {read}: set both to one data set"
            )


def check_writable(folder: str | os.PathLike) -> None:
    """Make a folder and write a file there, which is removed again.

    Raises:
        InputError: that fails; says why.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=os.fspath(folder)) as file:
            file.write(b"x" * 4096)
            file.flush()
    except (OSError, ValueError) as error:
        failure = describe_failure(error)
        reason = failure.sentence.removeprefix("error: ") if failure else str(error)
        raise InputError(f"train.output_dir {folder} cannot be written: {reason}") from None


def _check_init_checkpoint(config: DictConfig, is_training: bool) -> None:
    path = config.train.init_checkpoint
    if not path and not is_training:
        raise InputError("--eval-only needs the weights: add train.init_checkpoint=FILE")
    if path and "://" not in path and not os.path.isfile(path):
        raise InputError(f"checkpoint {path} does not exist: check train.init_checkpoint")


def _check_data_sets(config: DictConfig, is_training: bool, adapt_batchnorm_to: str | None) -> None:
    """Check that the images of all data sets are there."""
    checked = set()
    for key, name in _data_sets_of_run(config, is_training, adapt_batchnorm_to):
        if name in checked:
            continue
        checked.add(name)
        try:
            check_registered(name)
            records = DatasetCatalog.get(name)
        except InputError as error:
            raise InputError(f"{key}: {error}") from None
        missing = [x["file_name"] for x in records if not os.path.exists(x["file_name"])]
        if missing:
            raise InputError(
                f"{key}: {len(missing)} of {counted(len(records), 'image is', 'images are')} not "
                f"there in data set '{name}', first {missing[0]}: run medmask check-data to find "
                "all"
            )


def _data_sets_of_run(
    config: DictConfig, is_training: bool, adapt_batchnorm_to: str | None
) -> Iterator[tuple[str, str]]:
    yield from data_sets(config, is_training)
    if adapt_batchnorm_to is not None:
        yield "--adapt-batchnorm", adapt_batchnorm_to


def data_sets(config: DictConfig, is_training: bool) -> Iterator[tuple[str, str]]:
    """List the config keys and the names of all data sets."""
    keys = ["dataloader.test"]
    if is_training:
        hooks = config.get("loss_hooks") or {}
        keys += ["dataloader.train", *(f"loss_hooks.{hook}.loader" for hook in hooks)]
    for key in keys:
        names = OmegaConf.select(config, f"{key}.dataset") or []
        for name in [names] if isinstance(names, str) else names:
            yield f"{key}.dataset", name
