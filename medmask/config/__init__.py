"""Config files: reading, checking, and making the objects that they describe."""

from medmask.config.loading import load_config

__all__ = ["load_config"]
