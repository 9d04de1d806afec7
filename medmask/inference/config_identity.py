"""The part of a config that decides detections, as a hash."""

import hashlib
import json
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from medmask.utils.file_hash import HASH_LENGTH


def hash_detector_config(config: DictConfig) -> str:
    """Hash the model, the preprocessing of images in tests, and automatic mixed precision.

    Args:
        config: of a run, with the keys ``model``, ``dataloader.test.mapper`` and ``train.amp``.

    Returns:
        ``HASH_LENGTH`` hexadecimal digits, the same for a LazyConfig and its ``config.yaml``.
    """
    content = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    relevant = [content["model"], content["dataloader"]["test"]["mapper"], content["train"]["amp"]]
    text = json.dumps(relevant, sort_keys=True, default=_qualified_name)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def _qualified_name(target: Any) -> str:
    """The name of a function or class, as a config that was written to a file has it."""
    name = getattr(target, "__qualname__", None)
    return str(target) if name is None else f"{target.__module__}.{name}"
