"""Checking the values of a config before anything is made of them, all faults at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import (
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from medmask.config.keys import ARGUMENTS
from medmask.config.loading import REQUIRED
from medmask.config.own_datasets import KEY as OWN_DATASETS
from medmask.config.targets import find_allowed_target, name_of_target, parameters_of
from medmask.config.train_keys import TRACKERS, TRAIN
from medmask.config.tree import is_group, is_reference, iterate_keys, names_in, shorten, suggest
from medmask.config.values import Value
from medmask.errors import InputError
from medmask.solver.optimizer import build_parameter_groups
from medmask.stages.distillation import DEFAULT_NAME, KEY_SUFFIX, ExpertDistillationHook
from medmask.stages.exclusive_options import EXCLUSIONS

PARTS = ("model", "optimizer", "lr_multiplier", "dataloader.train", "dataloader.test")
GIVEN_BY_RUN = {build_parameter_groups: {"model"}}
"""Arguments that no config holds."""
GROUPS = {
    "": (*REQUIRED, "loss_hooks", OWN_DATASETS),
    "dataloader.": ("train", "test", "evaluator"),
}
"""Names that a run reads, by the beginning of their keys."""
_MISNAMED = 0.85
MAX_SHOWN = 10


def check_config(config: DictConfig) -> None:
    """Check the values of all keys of a run.

    Raises:
        InputError: names the keys at fault and what they may hold.
    """
    _raise([*_misnamed_faults(config), *_train_faults(config), *_part_faults(config)])
    _raise([*_exclusion_faults(config), *_expert_faults(config)])


def check_part(node: Any, key: str) -> None:
    """Check the values of a part of a config.

    Args:
        node: the part.
        key: of the part, for errors.

    Raises:
        InputError: names the keys at fault and what they may hold.
    """
    _raise(list(_faults(node, key)))


def _raise(faults: Sequence[str]) -> None:
    # A reference repeats the fault of what it refers to.
    own = [fault for fault in faults if not isinstance(fault, _OfReference)] or list(faults)
    if own:
        more = f"; and {len(own) - MAX_SHOWN} more" if len(own) > MAX_SHOWN else ""
        raise InputError("; ".join(own[:MAX_SHOWN]) + more)


class _OfReference(str):
    """The fault of a value that is a reference to another key."""


def _misnamed_faults(config: DictConfig) -> Iterator[str]:
    """Of groups that nothing reads, and whose names are nearly those that a run reads.

    Others may be the page's own, such as what it refers to, or what it has imported.
    """
    for prefix, known in GROUPS.items():
        group = config._get_node(prefix.rstrip(".")) if prefix else config
        for name in names_in(group) if is_group(group) else ():
            hint = suggest(str(name), known, likeness=_MISNAMED)
            if hint and name not in known:
                own = "" if prefix else "; if it is the page's own, begin its name with _"
                yield f"the config has no use for {prefix}{name}{hint}{own}"


def _train_faults(config: DictConfig) -> Iterator[str]:
    train = config._get_node("train")
    if not isinstance(train, DictConfig) or train._is_none():
        yield "train must be a group of keys, as in configs/common/train.py"
        return
    for key, value in TRAIN.items():
        parent, _, name = key.rpartition(".")
        if parent in TRACKERS and parent not in train:
            continue
        group = train._get_node(parent) if parent else train
        if not isinstance(group, DictConfig) or group._is_none() or name not in group:
            yield f"train.{key} is missing ({value.meaning}): it must be {value.description}"
            continue
        yield from _value_faults(group, name, f"train.{key}", value)
    known = {*TRAIN, *(key.rpartition(".")[0] for key in TRAIN)}
    yield from (
        f"the config has no use for {key}{suggest(key, [f'train.{k}' for k in TRAIN])}"
        for key in iterate_keys(train, "train.")
        if key.removeprefix("train.") not in known
    )


def _part_faults(config: DictConfig) -> Iterator[str]:
    for key in PARTS:
        node = OmegaConf.select(config, key, throw_on_missing=False)
        if not (isinstance(node, DictConfig) and not node._is_none() and "_target_" in node):
            yield f"{key} is {shorten(node)}, but must be a group of keys with a _target_"
            continue
        yield from _faults(node, key)
    hooks = config._get_node("loss_hooks") if "loss_hooks" in config else None
    evaluator = OmegaConf.select(config, "dataloader.evaluator", throw_on_missing=False)
    yield from _several_faults(hooks, "loss_hooks", "{}")
    if evaluator is None or (isinstance(evaluator, ListConfig) and not evaluator):
        yield "dataloader.evaluator is missing: it must be a list of evaluators"
    elif isinstance(evaluator, DictConfig):
        yield from _faults(evaluator, "dataloader.evaluator")
    else:
        yield from _several_faults(evaluator, "dataloader.evaluator", "[]")


def _exclusion_faults(config: DictConfig) -> Iterator[str]:
    """Of options that are each right, and exclude each other."""
    hooks = [
        f"loss_hooks.{name}" for name, hook in (config.get("loss_hooks") or {}).items() if hook
    ]
    for exclusion in EXCLUSIONS:
        if OmegaConf.select(config, exclusion.option) is not None:
            yield from (exclusion.sentence(hook) for hook in hooks if exclusion.concerns(hook))


def _expert_faults(config: DictConfig) -> Iterator[str]:
    """Of experts that are not named as the keys of their hooks, by which messages name them."""
    for key, hook in (config.get("loss_hooks") or {}).items():
        target = None if hook is None else _target_of(hook)
        if not (isinstance(target, type) and issubclass(target, ExpertDistillationHook)):
            continue
        name = hook.get("name", DEFAULT_NAME)
        right = f"{name}{KEY_SUFFIX}"
        if key == right:
            continue
        asked_for = key.removesuffix(KEY_SUFFIX)
        if asked_for in ("", key):
            yield (
                f"loss_hooks.{key} distills an expert of the name {name!r}, so its key must be "
                f"loss_hooks.{right}: rename it"
            )
        else:
            yield (
                f"loss_hooks.{key}.name is {name!r}, but the hook's key is that of an expert "
                f"{asked_for!r}: set it to {asked_for}, or rename the hook to {right}"
            )


def _several_faults(node: Any, key: str, empty: str) -> Iterator[str]:
    """Of a group or list whose items have a ``_target_``."""
    if node is None or (OmegaConf.is_config(node) and node._is_none()):
        if node is not None:
            yield f"{key} is null: {empty} is for none"
        return
    if not OmegaConf.is_config(node) or isinstance(node, DictConfig) == (empty == "[]"):
        yield f"{key} is {shorten(node)}, but must hold groups of keys with a _target_"
        return
    for name in range(len(node)) if isinstance(node, ListConfig) else node:
        child = node._get_node(name)
        if isinstance(node, DictConfig) and child._is_none():
            continue  # a hook that a page adds and the command line leaves out
        if not (isinstance(child, DictConfig) and not child._is_none() and "_target_" in child):
            yield f"{key}.{name} must be a group of keys with a _target_"
        else:
            yield from _faults(child, f"{key}.{name}")


def _faults(node: Any, key: str) -> Iterator[str]:
    """Of a part and all that is in it."""
    if isinstance(node, ListConfig | list):
        for i in range(len(node)):
            yield from _faults(_raw_child(node, i), f"{key}.{i}")
    if not isinstance(node, Mapping) or (isinstance(node, DictConfig) and node._is_none()):
        return
    if "_target_" in node:
        yield from _argument_faults(node, key)
    for name in node:
        yield from _faults(_raw_child(node, name), f"{key}.{name}")


def _argument_faults(node: Mapping, key: str) -> Iterator[str]:
    """Of the arguments of a ``_target_``, without what is in them."""
    target = _target_of(node)
    if target is None:
        return
    described = _described(target)
    parameters, takes_any = parameters_of(target)
    names = [name for name in node if name != "_target_"]
    for name in names:
        if name in described:
            yield from _value_faults(node, name, f"{key}.{name}", described[name])
        elif parameters is not None and name not in parameters and not takes_any:
            hint = suggest(name, parameters)
            yield f"{key}.{name} is no setting of {name_of_target(target)}{hint}"
        else:
            yield from _resolution_faults(node, name, f"{key}.{name}")
    given = GIVEN_BY_RUN.get(target, set()).union(names)
    for name, parameter in (parameters or {}).items():
        if parameter.default is parameter.empty and name not in given:
            yield f"{key}.{name} is missing" + (
                f": it must be {described[name].description}" if name in described else ""
            )


def _value_faults(parent: Mapping, name: str, key: str, value: Value) -> Iterator[str]:
    faults = list(_resolution_faults(parent, name, key))
    if faults:
        yield from faults
        return
    given = parent[name]
    if not value.accepts(given):
        sentence = f"{key} is {shorten(given)}, but must be {value.description}"
        yield _OfReference(sentence) if is_reference(parent, name) else sentence


def _resolution_faults(parent: Mapping, name: str, key: str) -> Iterator[str]:
    try:
        parent[name]
    except (MissingMandatoryValue, InterpolationToMissingValueError):
        sentence = f"{key} is missing (???): set it"
        yield _OfReference(sentence) if is_reference(parent, name) else sentence
    except (OmegaConfBaseException, RecursionError, ValueError, TypeError) as error:
        reason = "" if isinstance(error, RecursionError) else f" ({str(error).splitlines()[0]})"
        yield f"{key} refers to what the config does not have{reason}"


def _raw_child(parent: Any, name: str | int) -> Any:
    """A child, where it is no reference: what that leads to is checked at its own place."""
    if not OmegaConf.is_config(parent):
        return parent[name]
    return None if is_reference(parent, name) else parent._get_node(name)


def _target_of(node: Mapping) -> Callable[..., Any] | None:
    """The callable, where it can be known without importing the user's code."""
    target = _raw_child(node, "_target_")
    target = target._value() if hasattr(target, "_value") else target
    if callable(target):
        return target
    try:
        return find_allowed_target(target)
    except InputError:
        return None


def _described(target: Callable[..., Any]) -> Mapping[str, Value]:
    try:
        return ARGUMENTS.get(target, {})
    except TypeError:  # not hashable
        return {}
