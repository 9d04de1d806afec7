"""Versions of what a run is made with."""

import contextlib
import platform
import shlex
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import detectron2
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from medmask.errors import InputError
from medmask.utils.file_hash import hash_file, hash_if_there
from medmask.utils.json_files import parse_object
from medmask.version import __version__

RECORDED_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "pycocotools",
    "omegaconf",
)

VERSIONS = "versions.json"
START_WEIGHTS = "weights of train.init_checkpoint"
"""Key of the file that a run started from, or that it evaluates, among the versions"""


def version_key(dataset: str) -> str:
    """Name a data set among the versions."""
    return f"annotations of {dataset}"


def collect_data_versions(datasets: Iterable[str]) -> dict[str, str]:
    """Collect the SHA-256 of the annotation files of data sets, as far as they are here."""
    versions = {}
    for name in datasets:
        if name not in DatasetCatalog:
            continue
        # InputError: it is absent, as the training set may be in an evaluation; AttributeError:
        # other code registered a set without a file
        with contextlib.suppress(InputError, AttributeError, OSError):
            versions[version_key(name)] = hash_file(MetadataCatalog.get(name).json_file)
    return versions


def collect_start_version(path: str) -> dict[str, str]:
    """Collect the SHA-256 of the weights to start from; nothing if they are no file that is here.

    Args:
        path: ``train.init_checkpoint``, which may be empty or an address.
    """
    version = hash_if_there(path)
    return {} if version is None else {START_WEIGHTS: version}


def collect_versions() -> dict[str, str]:
    """Collect versions of packages, the GPU and the command."""
    versions = {"medmask": __version__, "detectron2": detectron2.__version__}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    versions["python"] = platform.python_version()
    versions["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    versions["command"] = shlex.join(sys.argv)
    return versions


def read_versions(path: Path) -> dict[str, str]:
    """Read the versions that a run left; nothing if the file is gone or broken."""
    try:
        return parse_object(path.read_bytes()) or {}
    except OSError:
        return {}
