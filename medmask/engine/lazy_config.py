"""Reading LazyConfig files and command-line overrides, with errors that name the key."""

import difflib
import os
from collections.abc import Sequence

from detectron2.config import LazyConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from medmask.errors import InputError

REQUIRED = ("model", "dataloader", "optimizer", "lr_multiplier", "train")


def load_config(path: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Load a LazyConfig file and apply overrides.

    Args:
        path: a ``.py`` file, or the ``config.yaml`` that a run left beside its results.
        overrides: ``key=value`` for keys that the config has, ``+key=value`` to add a key.

    Raises:
        InputError: the file is missing, lacks a part, or has no such key.
    """
    if not path:
        raise InputError("--config-file is missing, e.g. configs/medmask/phantom/source_only.py")
    if not os.path.isfile(path):
        raise InputError(f"config file {path} does not exist")
    try:
        config = LazyConfig.load(path)
    except (SyntaxError, ImportError, NameError, AttributeError) as error:
        raise InputError(f"config file {path} cannot be read: {error}") from error
    missing = [key for key in REQUIRED if key not in config]
    if missing:
        raise InputError(f"config file {path} defines no {', '.join(missing)}")
    check_overrides(config, overrides)
    return LazyConfig.apply_overrides(config, list(overrides))


def check_overrides(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raise :class:`InputError` for an override that would silently do nothing."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot read the overrides {' '.join(overrides)}: {reason}") from None
    for override in parsed:
        key = override.key_or_group
        if override.is_delete():
            raise InputError(f"cannot delete the config key {key}: overrides set values only")
        if override.is_add() or _has_key(config, key):
            continue
        known = _all_keys(config)
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "see --help for how to list them"
        raise InputError(f"the config has no key {key}; {hint} (+{key}=... adds a new key)")


def _has_key(config: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if isinstance(node, DictConfig):
        return leaf in node
    # an element of a list, such as test.0
    return OmegaConf.select(config, key) is not None


def _all_keys(node: DictConfig, prefix: str = "") -> list[str]:
    keys = []
    for key in node:
        keys.append(f"{prefix}{key}")
        if not OmegaConf.is_missing(node, key) and isinstance(node._get_node(key), DictConfig):
            keys += _all_keys(node._get_node(key), f"{prefix}{key}.")
    return keys
