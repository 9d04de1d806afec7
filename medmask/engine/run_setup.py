"""Setup of a run: memory, logs, seeds, a record of config and versions."""

import json
import logging

import torch
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from omegaconf import DictConfig

from medmask.checkpoint.resume_file import has_checkpoint
from medmask.engine.log_handlers import tolerate_write_errors
from medmask.engine.memory import keep_freed_memory
from medmask.engine.run_checks import data_sets
from medmask.engine.run_folder import CONFIG, RunFolder, write_config
from medmask.engine.versions import (
    START_WEIGHTS,
    VERSIONS,
    collect_data_versions,
    collect_start_version,
    collect_versions,
    read_versions,
    version_key,
)
from medmask.utils.counts import counted
from medmask.utils.files import atomic_write
from medmask.utils.openmp import choose_num_threads

logger = logging.getLogger(__name__)


def set_up_run(config: DictConfig, folder: RunFolder) -> None:
    """Set up memory, logging and seeds, and leave config, seed and versions beside the results.

    Writes ``config.yaml``, ``log.txt`` and ``versions.json``.

    Args:
        config: of the run.
        folder: of the run, from :func:`open_run_folder`.
    """
    keep_freed_memory()
    torch.set_num_threads(choose_num_threads(torch.get_num_threads(), comm.get_local_size()))
    rank = comm.get_rank()
    for name in ("detectron2", "fvcore", "medmask"):
        tolerate_write_errors(setup_logger(str(folder.path), distributed_rank=rank, name=name))
    if comm.is_main_process() and not folder.keeps_record:
        write_config(config, folder)
        _write_versions(config, folder)
    logger.info(
        f"{counted(comm.get_world_size(), 'process', 'processes')}, seed {config.train.seed}; the "
        f"config is in {folder.record_path(CONFIG)}, the versions are in "
        f"{folder.record_path(VERSIONS)}"
    )
    # Dropout must differ between processes.
    seed_all_rng((config.train.seed + rank) % 2**32)


def _write_versions(config: DictConfig, folder: RunFolder) -> None:
    """Leave the versions, and warn of annotations that a resumed run did not have so far.

    The weights that such a run started from are those of its first start.
    """
    path = folder.record_path(VERSIONS)
    named = list(data_sets(config, is_training=True))
    data_versions = collect_data_versions({name for _, name in named})
    start_version = collect_start_version(config.train.init_checkpoint)
    if has_checkpoint(folder.path) and not folder.record_prefix:
        before = read_versions(path)
        start_version = {k: v for k, v in before.items() if k == START_WEIGHTS}
        trained_on = (name for key, name in named if key != "dataloader.test.dataset")
        for name in dict.fromkeys(trained_on):
            key = version_key(name)
            if before.get(key, data_versions.get(key)) != data_versions.get(key):
                logger.warning(
                    f"The annotation file of data set '{name}' is not the one that this run has "
                    "been trained on so far: restore that one, or start a new run, unless the "
                    "change is meant"
                )
    with atomic_write(path, "w") as file:
        versions = collect_versions() | dict(sorted(data_versions.items())) | start_version
        json.dump(versions, file, indent=1)
