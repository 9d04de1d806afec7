"""Reading config files and command-line overrides, with errors that name the key."""

import contextlib
import os
import traceback
from collections.abc import Sequence

from detectron2.config import LazyConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medmask.config.chosen_parts import drop_former_settings, settings_of_chosen
from medmask.config.own_datasets import register_own_datasets
from medmask.config.targets import check_targets, iterate_targets
from medmask.config.tree import iterate_keys, suggest
from medmask.config.yaml_files import read_config_yaml
from medmask.errors import InputError
from medmask.utils.failures import one_line
from medmask.utils.overrides import as_override

REQUIRED = ("model", "dataloader", "optimizer", "lr_multiplier", "train")


def load_config(
    path: str, overrides: Sequence[str] = (), *, without: Sequence[str] = ()
) -> DictConfig:
    """Load a LazyConfig file, apply overrides, and register the user's own data sets.

    Args:
        path: a ``.py`` file, which is code and runs, or the ``config.yaml`` that a run left beside
            its results, in which nothing runs, see :func:`read_config_yaml`.
        overrides: ``key=value`` for keys that the config has, ``+key=value`` to add a key. A
            ``_target_`` may name what a ``config.yaml`` may name; settings of the part that stood
            there go if the new one has not got them.
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
    path = path.replace("/./", "/")  # as Detectron2 does, and so as it stands in tracebacks
    try:
        return LazyConfig.load(path)
    except Exception as error:  # a .py config is code and may raise what it likes
        place, reason = _place_of(path, error), _describe(error)
        if place is None:
            message = f"config file {path} cannot be read: {reason}"
        elif place.filename == path:
            message = f"config file {path}, line {place.lineno}, cannot be read: {reason}"
        else:
            message = f"config file {path} cannot be read: {place.filename}, line {place.lineno}"
            message += f": {reason}"
        raise InputError(message) from error


def _describe(error: Exception) -> str:
    """An error of a config file in one line."""
    reason, cause = one_line(error), error.__cause__
    if isinstance(error, InputError):
        return reason
    if isinstance(cause, SyntaxError) and cause.lineno:  # Detectron2 names the file alone
        return f"{reason.rstrip('!')} in line {cause.lineno}: {cause.msg}"
    return f"{type(error).__name__}: {reason}"


def _place_of(path: str, error: Exception) -> traceback.FrameSummary | None:
    """Find the line that raised an error in a config file or in a file that it takes.

    Returns:
        None if the config file never ran.
    """
    frames = list(traceback.extract_tb(error.__traceback__))
    names = [frame.filename for frame in frames]
    if path not in names:
        return None
    frames = frames[names.index(path) :]
    modules = {frame.filename for frame in frames if frame.name == "<module>"}
    return [frame for frame in frames if frame.filename in modules][-1]


def apply_overrides(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Change a config in place.

    Args:
        config: is changed.
        overrides: see :func:`load_config`.

    Raises:
        InputError: an override would do nothing, names no key, or names code as ``_target_``.
    """
    named = frozenset(target for _, target in iterate_targets(config) if isinstance(target, str))
    keys = check_overrides(config, overrides)
    former = settings_of_chosen(config, keys)
    try:
        LazyConfig.apply_overrides(config, list(overrides))
    except (OmegaConfBaseException, HydraException, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot set {' '.join(overrides)}: {reason}") from None
    check_targets(config, named)
    drop_former_settings(config, former)
    return config


def check_overrides(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """Check that no override would silently do nothing.

    Returns:
        Their keys.

    Raises:
        InputError: one would.
    """
    keys = []
    for text in overrides:
        override = _parse_override(text)
        key = override.key_or_group
        keys.append(key)
        if override.is_delete():
            raise InputError(f"cannot delete the config key {key}: overrides set values only")
        if override.is_sweep_override() or override.package is not None:
            raise InputError(
                f"cannot read the override {override.input_line}: give one value, in quotes if it "
                "is a text with a comma"
            )
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
    return keys


def _parse_override(text: str) -> Override:
    parser = OverridesParser.create()
    try:
        return parser.parse_override(text)
    except (HydraException, RecursionError) as error:
        reason = (str(error).splitlines() or ["nested too deeply"])[0]
    key, has_value, value = text.partition("=")
    if not has_value:
        reason = "give KEY=VALUE"
    elif value.startswith("~"):
        reason = "write the path of the home folder out"
    else:
        quoted = as_override(key, value)
        with contextlib.suppress(HydraException):
            parser.parse_override(quoted)
            reason = f'put the value into quotes, "{quoted}"'
    raise InputError(f"cannot read the override {text}: {reason}")


def _has_key(config: DictConfig, key: str) -> bool:
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    if isinstance(node, DictConfig):
        return leaf in node
    # an element of a list, such as test.0
    return OmegaConf.select(config, key) is not None
