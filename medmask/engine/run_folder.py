"""The folder of a run; one that it holds already is continued, replaced, or a reason to refuse."""

import contextlib
import enum
import itertools
import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf

from medmask.checkpoint.resume_file import CHECKPOINTS, LAST, has_checkpoint
from medmask.config.difference import config_differences
from medmask.config.own_datasets import with_own_datasets
from medmask.config.yaml_files import read_config_yaml, write_config_yaml
from medmask.engine.former_run import keep_former_run, set_aside
from medmask.engine.run_lock import lock_folder
from medmask.errors import InputError
from medmask.utils.files import atomic_write
from medmask.utils.shared_failure import raise_together

logger = logging.getLogger(__name__)

CONFIG = "config.yaml"
EVALUATION_PREFIX = "evaluation_"
EVALUATIONS = "evaluations.json"
TRAINING_FILES = (LAST, "metrics.json", EVALUATIONS, *CHECKPOINTS)
"""Files that only training leaves."""
EXTRA_MODELS = ("teacher", "average")
"""Models that the stages of this package give besides the trained one."""
RUN_FILES = (
    *TRAINING_FILES,
    CONFIG,
    "config_before_resume_*.yaml",
    "evaluation.json",
    "evaluation_config.yaml",
    "evaluation_versions.json",
    "events.out.tfevents.*",
    "log.txt",
    "log.txt.rank*",
    "model_adabn.pth",
    "model_best.pth",
    "tracked_run.json",
    "versions.json",
    "pictures/reconstruction_*.png",
)
"""Files that a run leaves, besides those of :func:`_files_of_model`; ``--overwrite`` replaces these
and no others."""
_EVALUATOR_FILES = (
    "coco_instances_results.json",
    "froc.json",
    "froc.png",
    "froc_detections.json",
    "instances_predictions.pth",
)
SIGNS_OF_A_RUN = (*TRAINING_FILES, "evaluation.json", "model_adabn.pth", "model_best.pth")
"""Results, which could be lost; what failed before it had any left a config and a log at most."""


class RunMode(enum.Enum):
    """Use that a run makes of its folder."""

    NEW = "new"
    """train; the folder may not hold a run"""
    RESUME = "resume"
    """train on from the last checkpoint, or from the start if there is none and no result"""
    OVERWRITE = "overwrite"
    """train in place of the run that the folder holds, which is gone after the first step"""
    EVALUATE = "evaluate"
    """evaluate weights, perhaps beside the run that they come from"""


@dataclass(frozen=True)
class RunFolder:
    """A folder that this run has for itself."""

    path: Path
    record_prefix: str = ""
    """of the record's files, so that an evaluation does not replace the record of a training"""
    keeps_record: bool = False
    """True if the record that is there stays, as nothing will be done that it does not tell"""

    def record_path(self, name: str) -> Path:
        """Path of a file of the record."""
        return self.path / f"{self.record_prefix}{name}"


@contextlib.contextmanager
def open_run_folder(config: DictConfig, mode: RunMode) -> Iterator[RunFolder]:
    """Have ``train.output_dir`` for oneself while in this context.

    All processes of the run call this; the main one locks the folder.

    Args:
        config: of the run.
        mode: see :class:`RunMode`.

    Raises:
        InputError: in all processes: another run is in the folder, or was and this one neither
            resumes nor overwrites it, or the run to be resumed had another config or has results
            but no checkpoint.
    """
    path = Path(config.train.output_dir)
    with contextlib.ExitStack() as stack:
        folder, problem = RunFolder(path), None
        if comm.is_main_process():
            try:
                path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(lock_folder(path))
                stack.enter_context(keep_former_run(path, lambda: _files_of_run(path)))
                folder = _prepare(path, config, mode)
            except (InputError, OSError) as error:
                problem = error
        raise_together(problem)
        yield folder


def write_config(config: DictConfig, folder: RunFolder) -> None:
    """Leave the config beside the results; a config that a resumed run changes is kept."""
    config = with_own_datasets(config)
    path = folder.record_path(CONFIG)
    if path.exists() and not folder.record_prefix and has_checkpoint(folder.path):
        before, kept = path.read_bytes(), _next_name(folder.path)
        with atomic_write(kept) as file:  # first, so that a kill loses neither
            file.write(before)
        lost = write_config_yaml(config, path)
        if path.read_bytes() == before:
            kept.unlink()
    else:
        lost = write_config_yaml(config, path)
    if lost:
        logger.warning(
            f"{path} lacks {', '.join(lost)}, which no YAML file can hold: to use the weights "
            "later, name the .py config with --config-file"
        )


def _prepare(path: Path, config: DictConfig, mode: RunMode) -> RunFolder:
    if mode is RunMode.EVALUATE:
        return RunFolder(path, EVALUATION_PREFIX if _find(path, TRAINING_FILES) else "")
    if mode is RunMode.OVERWRITE:
        _set_run_aside(path, config)
    elif mode is RunMode.NEW:
        _check_unused(path)
    elif has_checkpoint(path):
        return RunFolder(path, keeps_record=_check_same_run(path, config))
    else:
        _check_nothing_is_lost(path)
    return RunFolder(path)


def _check_unused(path: Path) -> None:
    found = _find(path, SIGNS_OF_A_RUN)
    if found:
        names = ", ".join(file.name for file in found[:3])
        raise InputError(
            f"train.output_dir {path} holds a run already ({names}): continue it with --resume, "
            "replace it with --overwrite, or choose another train.output_dir"
        )


def _check_nothing_is_lost(path: Path) -> None:
    """Check that a run without a checkpoint was killed before its first one, and can start anew."""
    if (path / EVALUATIONS).exists():
        raise InputError(
            f"train.output_dir {path} holds the results of a run ({EVALUATIONS}), but no "
            "checkpoint to go on from: replace it with --overwrite, or choose another "
            "train.output_dir"
        )


def _check_same_run(path: Path, config: DictConfig) -> bool:
    """Check that a config goes on with a run; True if there is nothing left to do."""
    if not (path / CONFIG).exists():
        logger.warning(f"{path / CONFIG} is gone: nothing tells whether the run had this config")
        return False
    # A stage of the user's own is named there, too; nothing is built of this config.
    stored = read_config_yaml(path / CONFIG, any_target=True)
    differences = config_differences(stored, config)
    if differences:
        raise InputError(
            f"{path} holds a run with another config: {'; '.join(differences)}; resume it with "
            "its own settings, replace it with --overwrite, or choose another train.output_dir"
        )
    tested, test = (OmegaConf.select(x, "dataloader.test.dataset") for x in (stored, config))
    return _evaluated_iterations(path) >= config.train.max_iter and tested == test


def _evaluated_iterations(path: Path) -> int:
    """Return the iterations done at the last evaluation, which is the end of a finished run."""
    try:
        return int(_last_evaluation(path)["iteration"])
    except (LookupError, ValueError, TypeError):
        return 0


def _last_evaluation(path: Path) -> dict[str, Any]:
    try:
        last = json.loads((path / EVALUATIONS).read_text())[-1]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
    return last if isinstance(last, dict) else {}


def _set_run_aside(path: Path, config: DictConfig) -> None:
    files = _files_of_run(path)
    start = config.train.get("init_checkpoint")
    if start and os.path.realpath(start) in map(os.path.realpath, files):
        raise InputError(
            f"train.init_checkpoint {start} is of the run that --overwrite would remove from "
            f"train.output_dir {path}: choose another train.output_dir, or move those weights"
        )
    for file in files:
        logger.info(f"Replacing {file} (--overwrite)")
    models = _models(path)
    set_aside(path, files)
    extra = [folder for model in models for folder in (f"{model}/inference", model)]
    for folder in ("inference", "pictures", *extra):
        with contextlib.suppress(OSError):  # it is not there, or holds something of the user's
            (path / folder).rmdir()


def _files_of_run(path: Path) -> list[Path]:
    patterns = [*RUN_FILES, *(f"inference/{name}" for name in _EVALUATOR_FILES)]
    for model in _models(path):
        patterns += _files_of_model(model)
    return list(dict.fromkeys(_find(path, patterns)))


def _models(path: Path) -> list[str]:
    """Name the models that a run may have given besides the trained one."""
    return list(dict.fromkeys([*EXTRA_MODELS, *_evaluated_models(path)]))


def _files_of_model(model: str) -> list[str]:
    """Files of a model that a stage gives besides the trained one."""
    return [
        *(f"{model}_{which}.pth" for which in ("best", "final")),
        *(f"{model}/inference/{name}" for name in _EVALUATOR_FILES),
    ]


def _evaluated_models(path: Path) -> list[str]:
    """Name the models that were evaluated beside the trained one, those of users' stages, too.

    Their results have the names of the trained one's results, after their own name.
    """
    results = _last_evaluation(path)
    prefixes = (
        result.removesuffix(f"/{name}")
        for name in results
        for result in results
        if result.endswith(f"/{name}")
    )
    return sorted({prefix for prefix in prefixes if re.fullmatch(r"\w[\w.-]*", prefix)})


def _find(path: Path, patterns: Sequence[str]) -> list[Path]:
    return [
        file
        for pattern in patterns
        for file in sorted(path.glob(pattern))
        if file.is_file() or file.is_symlink()
    ]


def _next_name(path: Path) -> Path:
    names = (path / f"config_before_resume_{number}.yaml" for number in itertools.count(1))
    return next(name for name in names if not name.exists())
