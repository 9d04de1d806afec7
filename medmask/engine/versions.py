"""Versions of what a run is made with."""

import platform
import shlex
import sys
from importlib import metadata

import detectron2
import torch

from medmask.version import __version__

RECORDED_PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "pycocotools",
    "omegaconf",
)


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
