"""The libraries of ONNX, which are optional dependencies."""

import importlib
from types import ModuleType

from medmask.errors import InputError


def import_library(name: str) -> ModuleType:
    """Import ``onnx`` or ``onnxruntime``.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise InputError(
            f"files of ONNX need the package {name}, which is not installed: "
            "pip install 'medmask-detection[export]'"
        ) from None
