"""MedMask: lesion detection in mammograms from few annotations, as a Detectron2 project.

Importing the package loads neither PyTorch nor Detectron2, unless Detectron2 is in use already. The
data sets and the meta-architecture are registered with Detectron2 by

- ``from medmask import add_medmask_config`` and the use of anything else that is offered here,
- ``import medmask.data`` (data sets) and ``import medmask.modeling`` (meta-architecture), which any
  config of the project does,
- ``import medmask`` alone, if Detectron2's data sets or models (``detectron2.data``,
  ``detectron2.modeling``) have been imported before.
"""

import sys
from typing import TYPE_CHECKING, Any

# first, because it sets what is read when PyTorch is loaded
import medmask.utils.openmp  # noqa: F401
from medmask.utils.lazy_exports import lazy_exports
from medmask.version import __version__

if TYPE_CHECKING:
    from medmask import data, modeling
    from medmask.modeling.yacs_config import add_medmask_config

__all__ = ["__version__", "add_medmask_config", "data", "modeling"]


def _register() -> None:
    """Register the data sets and the meta-architecture, which their packages do when imported."""
    import medmask.data
    import medmask.modeling  # noqa: F401


_get, __dir__ = lazy_exports(
    __name__,
    {
        "add_medmask_config": "medmask.modeling.yacs_config",
        "data": "medmask.data",
        "modeling": "medmask.modeling",
    },
)


def __getattr__(name: str) -> Any:
    value = _get(name)
    _register()
    return value


if "detectron2.data" in sys.modules or "detectron2.modeling" in sys.modules:
    _register()
