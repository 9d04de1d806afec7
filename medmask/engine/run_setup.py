"""Setup of a run: memory, logs, seeds, a record of config and versions."""

import json
import logging

import torch
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from omegaconf import DictConfig

from medmask.engine.log_handlers import tolerate_write_errors
from medmask.engine.run_folder import CONFIG, RunFolder, write_config
from medmask.engine.versions import collect_versions
from medmask.utils.counts import counted
from medmask.utils.files import atomic_write
from medmask.utils.memory import keep_freed_memory
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
        with atomic_write(folder.record_path("versions.json"), "w") as file:
            json.dump(collect_versions(), file, indent=1)
    logger.info(
        f"{counted(comm.get_world_size(), 'process', 'processes')}, seed {config.train.seed}; the "
        f"config is in {folder.record_path(CONFIG)}, the versions are in "
        f"{folder.record_path('versions.json')}"
    )
    # Dropout must differ between processes.
    seed_all_rng((config.train.seed + rank) % 2**32)
