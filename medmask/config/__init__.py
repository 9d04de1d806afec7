"""Config files: reading them, checking their values, building the objects that they describe.

:func:`load_config` reads a file and applies overrides, :func:`check_config` finds all wrong values
at once, :func:`build` makes the object at one key.
"""

from medmask.config.building import build
from medmask.config.check import check_config
from medmask.config.loading import load_config

__all__ = ["build", "check_config", "load_config"]
