"""Packages whose names are imported when they are first used (PEP 562).

A command-line tool shows its options without loading PyTorch only if no package on its way imports
everything that it offers.
"""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(
    package: str, modules: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and the ``__dir__`` of a package.

    No name may be that of a module in the package: the import of that module would hide it.

    Args:
        package: the ``__name__`` of the package.
        modules: the module in which each name is defined; a module that ends with the name itself
            is what the name stands for.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(modules[name])
        value = module if module.__name__ == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)  # the next access does not come here
        return value

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules})

    return get, list_names
