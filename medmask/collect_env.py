"""Description of the environment for reports of faults: ``python -m medmask.collect_env``."""

import contextlib
import importlib
import os
import subprocess
from importlib import metadata
from pathlib import Path

import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import collect_env as detectron2_env
from tabulate import tabulate
from torch.utils.cpp_extension import CUDA_HOME

from medmask.data.catalog import CocoMetadata, dataset_root
from medmask.errors import InputError
from medmask.layers import available_implementations
from medmask.utils.openmp import usable_cores
from medmask.version import __version__

_PACKAGES = ("omegaconf", "pycocotools", "scipy", "Pillow", "pydicom", "open_clip_torch")
_DICOM_DECODERS = ("pylibjpeg", "pylibjpeg-openjpeg", "python-gdcm")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
_ROOT = Path(__file__).parents[1]


def collect_env_info() -> str:
    """Describe the installation, in a table above the one of Detectron2.

    Paths in the home folder are shown relative to it.
    """
    rows = [
        ("medmask", __version__),
        ("commit", _commit()),
        ("deformable attention", ", ".join(available_implementations())),
        ("its CUDA kernels", _cuda_kernels()),
        *((package, _version(package)) for package in _PACKAGES),
        ("DICOM decoders", ", ".join(f"{name} {_version(name)}" for name in _DICOM_DECODERS)),
        ("usable cores", usable_cores()),
        ("PyTorch's threads", torch.get_num_threads()),
        *((name, os.environ.get(name, "not set")) for name in _THREAD_VARIABLES),
        ("DETECTRON2_DATASETS", _short(os.environ.get("DETECTRON2_DATASETS", "not set"))),
        ("data sets in", _short(dataset_root())),
        ("data sets there", ", ".join(_present_datasets()) or "none"),
    ]
    return f"{tabulate(rows, disable_numparse=True)}\n{detectron2_env.collect_env_info()}"


def _commit() -> str:
    """The commit of the clone that the package is in, and whether files differ from it."""
    if not (_ROOT / ".git").exists():
        return "not in a clone"
    git = ["git", "-C", str(_ROOT)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown (git does not tell)"
    return f"{commit}, with changes" if changed else commit


def _cuda_kernels() -> str:
    """The GPU architectures of the compiled operator."""
    if "cuda" not in available_implementations():
        return "not built"
    library = importlib.import_module("medmask.layers._C").__file__
    if CUDA_HOME is None:
        return "built; no CUDA toolkit is here to tell the architectures"
    found = detectron2_env.detect_compute_compatibility(CUDA_HOME, library)
    return "built; cuobjdump is not here to tell the architectures" if library in found else found


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _present_datasets() -> list[str]:
    """Registered data sets of this project whose annotation file exists."""
    present = []
    for name in DatasetCatalog.list():
        entry = MetadataCatalog.get(name)
        if isinstance(entry, CocoMetadata):
            with contextlib.suppress(InputError):  # of a file that does not exist
                entry.json_file  # noqa: B018
                present.append(name)
    return sorted(present)


def _short(path: str | os.PathLike) -> str:
    """A path without the user's name."""
    home = os.path.expanduser("~")
    text = os.fspath(path)
    return f"~{text.removeprefix(home)}" if text.startswith(f"{home}{os.sep}") else text


def main() -> None:
    """Print the description."""
    print(collect_env_info())


if __name__ == "__main__":
    main()
