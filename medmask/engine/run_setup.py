"""What happens before a run starts: logs, seeds, and a record of config and versions."""

import json
import platform
import shlex
import sys
from argparse import Namespace
from importlib import metadata
from pathlib import Path

from detectron2.engine import default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from omegaconf import DictConfig

from medmask.utils.files import atomic_write

RECORDED_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "pycocotools",
    "omegaconf",
)


def set_up_run(config: DictConfig, args: Namespace) -> None:
    """Set up logging and seeds, and leave config, seed and versions beside the results.

    Writes ``config.yaml``, ``log.txt`` and ``versions.json`` into ``train.output_dir``.
    """
    setup_logger(config.train.output_dir, distributed_rank=comm.get_rank(), name="medmask")
    default_setup(config, args)
    if comm.is_main_process():
        with atomic_write(Path(config.train.output_dir) / "versions.json", "w") as file:
            json.dump(_versions(), file, indent=1)


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
    versions["command"] = shlex.join(sys.argv)
    return versions
