"""The libraries of ONNX, which are optional dependencies."""

from types import ModuleType

from medmask.utils.optional_packages import import_optional


def import_library(name: str) -> ModuleType:
    """Import ``onnx`` or ``onnxruntime``.

    Raises:
        InputError: it is not installed.
    """
    return import_optional(name, "files of ONNX need", "export")
