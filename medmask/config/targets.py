"""The callables that ``_target_`` names: finding them, and which a ``config.yaml`` may name.

A ``config.yaml`` comes with weights, perhaps from somebody else, and must not run code. So a name
is looked up in a few packages only, and what it leads to must be defined there and be a part of a
model, an optimizer, a schedule, an augmentation, an evaluator or a loss hook, or be described in
:data:`medmask.config.keys.ARGUMENTS`. A ``.py`` config is code and names what it likes.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from detectron2.data.transforms import Augmentation, Transform
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils.registry import locate
from fvcore.common.param_scheduler import ParamScheduler
from omegaconf import DictConfig
from torch import nn
from torch.optim import Optimizer

from medmask.config.keys import ARGUMENTS
from medmask.config.tree import iterate_values, raw_value, shorten
from medmask.errors import InputError
from medmask.stages.loss_hook import LossHook
from medmask.stages.masked_autoencoding import MaskRatioSchedule
from medmask.stages.mean_teacher import ConfidenceThreshold

PACKAGES = (
    "detectron2.data.transforms",
    "detectron2.evaluation",
    "detectron2.layers",
    "detectron2.modeling",
    "detectron2.solver",
    "fvcore.common.param_scheduler",
    "medmask.data",
    "medmask.evaluation",
    "medmask.layers",
    "medmask.modeling",
    "medmask.solver",
    "medmask.stages",
    "torch.nn",
    "torch.optim",
    "torchvision.models",
    "torchvision.ops",
)
"""Packages in which names are looked up, and in which the callables must be defined."""

BASE_CLASSES = (
    Augmentation,
    ConfidenceThreshold,
    DatasetEvaluator,
    LossHook,
    MaskRatioSchedule,
    Optimizer,
    ParamScheduler,
    Transform,
    nn.Module,
)
"""Classes that derive from one of these may be named, as all that ``ARGUMENTS`` describes."""


def find_allowed_target(name: Any) -> Callable[..., Any]:
    """The callable that a ``_target_`` of a ``config.yaml`` names.

    Args:
        name: a dotted path such as ``torch.optim.AdamW``; anything else is refused.

    Raises:
        InputError: nothing that may be named has this name. No module outside :data:`PACKAGES` is
            imported to find that out.
    """
    if name == "builtins.dict":
        return dict
    target = _look_up(name) if isinstance(name, str) else None
    if target is None or not _is_allowed(target):
        raise InputError(
            f"_target_ is {name!r}, which neither a config.yaml nor an override may name: allowed "
            "are parts of models, losses, optimizers, schedules, augmentations, loaders and "
            "evaluators of medmask, detectron2, torch and torchvision; code of your own goes into "
            "a .py config that --config-file names"
        )
    return target


def find_target(target: Any, key: str) -> Callable[..., Any]:
    """The callable that a ``_target_`` of any config is, or names.

    Args:
        target: a callable or its name. Names that a ``config.yaml`` may not use come from a ``.py``
            config, see :func:`medmask.config.load_config`.
        key: of the group that it is in, for errors.

    Raises:
        InputError: there is no such callable.
    """
    if callable(target):
        return target
    try:
        return find_allowed_target(target)
    except InputError:
        pass
    try:
        found = locate(target)
    except Exception:  # of the user's module that is imported
        found = None
    if not callable(found):
        raise InputError(f"{key}._target_ is {shorten(target)}, which is no function or class")
    return found


def check_targets(config: DictConfig, known: frozenset[str] = frozenset()) -> None:
    """Check that every ``_target_`` that is a text may be named.

    Args:
        config: callables in it come from a ``.py`` file and are left alone.
        known: names that are allowed besides.

    Raises:
        InputError: one may not; names its key.
    """
    for key, target in iterate_targets(config):
        if callable(target) or (isinstance(target, str) and target in known):
            continue
        try:
            find_allowed_target(target)
        except InputError as error:
            raise InputError(f"{key.removesuffix('_target_')}{error}") from None


def iterate_targets(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """Every ``_target_`` of a config with its key."""
    for key, group, name in iterate_values(config):
        if name == "_target_":
            yield key, raw_value(group, name)


def name_of_target(target: Callable[..., Any]) -> str:
    """The name of a callable for errors."""
    return getattr(target, "__qualname__", None) or repr(target)


def parameters_of(
    target: Callable[..., Any],
) -> tuple[Mapping[str, inspect.Parameter] | None, bool]:
    """Named parameters of a callable (None if it does not tell); whether it takes others."""
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return None, True
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return {name: p for name, p in parameters.items() if p.kind in named}, takes_any


def _look_up(name: str) -> Any:
    """The object at a dotted path: a member of a module, or a method of a class there."""
    parts = name.split(".")
    if not all(part.isidentifier() and not part.startswith("_") for part in parts):
        return None
    for split in (len(parts) - 1, len(parts) - 2):
        module_name = ".".join(parts[:split])
        if not _is_in_packages(module_name):
            return None
        try:
            module: Any = importlib.import_module(module_name)
        except ImportError:
            continue
        return functools.reduce(lambda x, part: getattr(x, part, None), parts[split:], module)
    return None


def _is_allowed(target: Any) -> bool:
    # An imported name, such as medmask.data.catalog.Path, leads out of the packages.
    is_here = isinstance(target, type) and _is_in_packages(target.__module__)
    return (is_here and issubclass(target, BASE_CLASSES)) or _is_described(target)


def _is_in_packages(module_name: str) -> bool:
    return any(module_name == p or module_name.startswith(f"{p}.") for p in PACKAGES)


def _is_described(target: Any) -> bool:
    return callable(target) and isinstance(target, Hashable) and target in ARGUMENTS
