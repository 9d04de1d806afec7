"""What happens before a run starts: memory, logs, seeds, a record of config and versions."""

import json
import logging
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path

import torch
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from detectron2.utils.logger import setup_logger
from omegaconf import DictConfig

from medmask.engine.config_file import write_config_yaml
from medmask.engine.log_handlers import let_logs_fail
from medmask.utils.files import atomic_write
from medmask.utils.memory import keep_freed_memory
from medmask.utils.openmp import choose_num_threads

logger = logging.getLogger(__name__)

RECORDED_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "pycocotools",
    "omegaconf",
)


def set_up_run(config: DictConfig) -> None:
    """Set up memory, logging and seeds, and leave config, seed and versions beside the results.

    Writes ``config.yaml``, ``log.txt`` and ``versions.json`` into ``train.output_dir``.
    """
    keep_freed_memory()
    num_threads = choose_num_threads(comm.get_local_size())
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    output_dir, rank = config.train.output_dir, comm.get_rank()
    for name in ("detectron2", "fvcore", "medmask"):
        let_logs_fail(setup_logger(output_dir, distributed_rank=rank, name=name))
    if comm.is_main_process():
        lost = write_config_yaml(config, Path(output_dir) / "config.yaml")
        if lost:
            logger.warning(
                f"{output_dir}/config.yaml lacks {', '.join(lost)}, which no YAML file can hold: "
                "to use its weights later, name the .py config with --config-file"
            )
        with atomic_write(Path(output_dir) / "versions.json", "w") as file:
            json.dump(_versions(), file, indent=1)
    logger.info(
        f"{comm.get_world_size()} process(es), seed {config.train.seed}; the config is in "
        f"{output_dir}/config.yaml, the versions are in {output_dir}/versions.json"
    )
    seed_all_rng((config.train.seed + rank) % 2**32)  # dropout must differ between processes


def _versions() -> dict[str, str]:
    import detectron2

    import medmask

    versions = {"medmask": medmask.__version__, "detectron2": detectron2.__version__}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    versions["python"] = platform.python_version()
    versions["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    versions["command"] = shlex.join(sys.argv)
    return versions
