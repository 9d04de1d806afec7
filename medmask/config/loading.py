"""Reading config files and command-line overrides, with errors that name the key."""

import os
import traceback
from collections.abc import Sequence

from detectron2.config import LazyConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medmask.config.own_datasets import register_own_datasets
from medmask.config.targets import check_targets, iterate_targets
from medmask.config.tree import iterate_keys, suggest
from medmask.config.yaml_files import read_config_yaml
from medmask.errors import InputError
from medmask.utils.failures import one_line

REQUIRED = ("model", "dataloader", "optimizer", "lr_multiplier", "train")


def load_config(
    path: str, overrides: Sequence[str] = (), *, without: Sequence[str] = ()
) -> DictConfig:
    """Load a LazyConfig file, apply overrides, and register the user's own data sets.

    Args:
        path: a ``.py`` file, which is code and runs, or the ``config.yaml`` that a run left beside
            its results, in which nothing runs, see :func:`read_config_yaml`.
        overrides: ``key=value`` for keys that the config has, ``+key=value`` to add a key. A
            ``_target_`` may name what a ``config.yaml`` may name.
        without: top-level keys of a ``config.yaml`` that are not needed, and so not checked, such
            as the loss hooks for prediction, where a stage of the user's own may be named.

    Raises:
        InputError: the file is missing, lacks a part, or has no such key; or it describes a data
            set that cannot be registered.
    """
    if not path:
        raise InputError("--config-file is missing, e.g. configs/medmask/phantom/source_only.py")
    config = _read_config(os.fspath(path), without)
    missing = [key for key in REQUIRED if key not in config]
    if missing:
        raise InputError(f"config file {path} defines no {', '.join(missing)}")
    no_groups = [key for key in REQUIRED if not isinstance(config._get_node(key), DictConfig)]
    if no_groups:
        raise InputError(f"config file {path} has no group of keys in {', '.join(no_groups)}")
    config = apply_overrides(config, overrides)
    register_own_datasets(config, path)
    return config


def load_any_config(path: str | os.PathLike, *, without: Sequence[str] = ()) -> DictConfig:
    """Load a config file, whatever it describes, and register the user's own data sets.

    Args:
        path: see :func:`load_config`.
        without: likewise.

    Raises:
        InputError: the file is missing, no config, or raises an error; or it describes a data set
            that cannot be registered.
    """
    config = _read_config(os.fspath(path), without)
    register_own_datasets(config, path)
    return config


def _read_config(path: str, without: Sequence[str]) -> DictConfig:
    """Read a config file; the calls of a ``.py`` file register data sets, if it has any."""
    if not os.path.isfile(path):
        raise InputError(f"config file {path} does not exist: name one with --config-file")
    if path.endswith((".yaml", ".yml")):
        return read_config_yaml(path, without=without)
    if not path.endswith(".py"):
        raise InputError(f"config file {path} is neither a .py nor a .yaml file")
    try:
        return LazyConfig.load(path)
    except Exception as error:  # a .py config is code and may raise what it likes
        reason = one_line(error)
        if not isinstance(error, InputError):
            reason = f"{type(error).__name__}: {reason}"
        place = f", line {line}," if (line := _line_of(path, error)) else ""
        raise InputError(f"config file {path}{place} cannot be read: {reason}") from error


def _line_of(path: str, error: Exception) -> int | None:
    """Find the line of a config file that raised an error; None if it never ran."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return lines[-1] if lines else None


def apply_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Change a config in place.

    Args:
        config: is changed.
        overrides: see :func:`load_config`.

    Raises:
        InputError: an override would do nothing, names no key, or names code as ``_target_``.
    """
    named = frozenset(target for _, target in iterate_targets(config) if isinstance(target, str))
    check_overrides(config, overrides)
    try:
        LazyConfig.apply_overrides(config, list(overrides))
    except (OmegaConfBaseException, HydraException, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot set {' '.join(overrides)}: {reason}") from None
    check_targets(config, named)
    return config


def check_overrides(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raise :class:`InputError` for an override that would silently do nothing."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except (HydraException, RecursionError) as error:
        reason = (str(error).splitlines() or ["nested too deeply"])[0]
        raise InputError(f"cannot read the overrides {' '.join(overrides)}: {reason}") from None
    for override in parsed:
        key = override.key_or_group
        if override.is_delete():
            raise InputError(f"cannot delete the config key {key}: overrides set values only")
        if override.is_sweep_override() or override.package is not None:
            raise InputError(f"cannot read the override {override.input_line}: give one value")
        if _has_key(config, key):
            continue
        if override.is_add():
            parent, _, name = key.rpartition(".")
            if parent == "loss_hooks" and override.value() is None:
                raise InputError(
                    f"the config has no {key} that +{key}=null could leave out"
                    f"{suggest(name, config.get(parent) or {})}"
                )
            continue
        hint = suggest(key, iterate_keys(config)) or "; see --help for how to list them"
        raise InputError(f"the config has no key {key}{hint} (+{key}=... adds a new key)")


def _has_key(config: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if isinstance(node, DictConfig):
        return leaf in node
    # an element of a list, such as test.0
    return OmegaConf.select(config, key) is not None
