"""Differences between the config of a run and the one that it is to be resumed or compared with."""

import fnmatch
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medmask.config.own_datasets import KEY as OWN_DATASETS
from medmask.config.targets import find_allowed_target
from medmask.config.tree import shorten
from medmask.config.yaml_files import MISSING, stable_name, to_plain
from medmask.errors import InputError

NO_PART_OF_A_RESULT = (
    "*.num_workers",
    "loss_hooks.*.held_out_stores",
    "loss_hooks.*.num_pictured",
    "loss_hooks.*.output_dir",
    "loss_hooks.*.picture_period",
    "train.best_metric",
    "train.checkpointer.*",
    "train.device",
    "train.eval_period",
    "train.gradient_norm_period",
    "train.held_out_images",
    "train.log_period",
    "train.mlflow.*",
    "train.output_dir",
    "train.wandb.*",
)
"""Keys on which the last weights of a run and their test do not depend."""
MAY_CHANGE = (
    *NO_PART_OF_A_RESULT,
    "dataloader.evaluator",
    "dataloader.evaluator.*",
    "dataloader.test.*",
    "train.max_iter",
)
"""Keys that a resumed run may change: its length, evaluation, log, trackers, workers, device, and
what is measured on the way. The help of ``medmask train`` and docs/troubleshooting.md list them."""
MAX_SHOWN = 5
_ABSENT = "not there"


def config_differences(stored: DictConfig, given: DictConfig) -> list[str]:
    """Changes that a resumed run may not make.

    Args:
        stored: ``config.yaml`` of the run.
        given: the one that it is to be resumed with.

    Returns:
        A phrase for each key with both values, the first :data:`MAX_SHOWN` and how many more.
    """
    before, now = (dict(_values(_plain(config, resolve=True))) for config in (stored, given))
    raw = dict(_values(_plain(given, resolve=False)))
    keys = [
        key
        for key in sorted(before.keys() | now.keys())
        if key.partition(".")[0] != OWN_DATASETS  # their names count; files may have moved
        and not _is_same(key, before.get(key, _ABSENT), now.get(key, _ABSENT))
        and not any(fnmatch.fnmatchcase(key, pattern) for pattern in MAY_CHANGE)
    ]
    # A reference repeats the change of what it refers to.
    keys = [key for key in keys if "${" not in str(raw.get(key))] or keys
    return _phrases(keys, before, now)


def result_values(config: DictConfig, decided: Sequence[str] = ()) -> dict[str, Any]:
    """Values of a config on which the result of a run depends, to be kept in JSON beside it.

    Args:
        config: of the run.
        decided: further keys that do not count, as what is run decides them, such as the seed.

    Returns:
        Each value by its key; references to other keys as they stand, targets by one name, infinity
        and NaN as text. What no YAML file can hold is left out.
    """
    ignored = (*NO_PART_OF_A_RESULT, *decided)
    return {
        key: _target_name(value) if key.rpartition(".")[2] == "_target_" else _finite(value)
        for key, value in _values(to_plain(config)[0])
        if value != MISSING
        and key.partition(".")[0] != OWN_DATASETS
        and not any(fnmatch.fnmatchcase(key, pattern) for pattern in ignored)
    }


def result_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A phrase for each key that has changed, of what :func:`result_values` gave."""
    keys = [
        key
        for key in sorted(before.keys() | now.keys())
        if not _is_same(key, before.get(key, _ABSENT), now.get(key, _ABSENT))
    ]
    return _phrases(keys, before, now)


def _phrases(keys: Sequence[str], before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name both values of each key, the first :data:`MAX_SHOWN`, and how many more there are."""
    phrases = [f"{key} was {_shown(before, key)} and is {_shown(now, key)}" for key in keys]
    if len(phrases) > MAX_SHOWN:
        phrases[MAX_SHOWN:] = [f"and {len(phrases) - MAX_SHOWN} more"]
    return phrases


def _plain(config: DictConfig, *, resolve: bool) -> Any:
    return OmegaConf.to_container(OmegaConf.create(to_plain(config)[0]), resolve=resolve)


def _values(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, child in value.items():
            yield from _values(child, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(child, dict | list) for child in value):
        for i, child in enumerate(value):
            yield from _values(child, f"{key}.{i}")
    else:
        yield key, value


def _is_same(key: str, before: Any, now: Any) -> bool:
    if MISSING in (before, now):  # what no YAML file can hold cannot be compared
        return True
    if key.rpartition(".")[2] == "_target_":
        return _canonical(before) == _canonical(now)
    if key == "train.init_checkpoint" and before and now:
        return os.path.realpath(before) == os.path.realpath(now)
    return isinstance(before, bool) == isinstance(now, bool) and before == now


def _canonical(target: Any) -> Any:
    """One object for all names of a callable."""
    try:
        return find_allowed_target(target)
    except InputError:
        return stable_name(target) if isinstance(target, str) else target


def _target_name(target: Any) -> Any:
    """One name for all names of a callable."""
    found = _canonical(target)
    return found if isinstance(found, str) else f"{found.__module__}.{found.__qualname__}"


def _finite(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _shown(values: Mapping[str, Any], key: str) -> str:
    return shorten(values[key]) if key in values else _ABSENT
