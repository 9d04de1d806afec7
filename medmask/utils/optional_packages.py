"""Packages that only some commands need, which extras of this one bring along."""

import importlib
from types import ModuleType

from medmask.errors import InputError


def import_optional(name: str, purpose: str, extra: str) -> ModuleType:
    """Import a package where it is needed.

    Args:
        name: of the module.
        purpose: the beginning of a sentence on what needs it, such as "DICOM results need".
        extra: of this package that brings it along.

    Raises:
        InputError: it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{purpose} the package {name.partition('.')[0]}, which cannot be imported ({error}): "
            f"run pip install 'medmask-detection[{extra}]'"
        ) from error
