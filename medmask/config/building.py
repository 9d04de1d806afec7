"""Making the objects that a config describes, with errors that name the key."""

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException

from medmask.config.check import check_part
from medmask.config.keys import ARGUMENTS
from medmask.config.targets import find_target, name_of_target
from medmask.config.values import Part
from medmask.errors import InputError
from medmask.utils.failures import one_line


def build(config: DictConfig, key: str, of: type = object) -> Any:
    """Make the object that a key of a config describes.

    Args:
        config: of the run.
        key: of a group with a ``_target_``, such as ``dataloader.train``; or of a list of such.
        of: class that the object must have.

    Raises:
        InputError: a value below the key is not accepted, or what the ``_target_`` names refuses
            it; names the key.
    """
    node = config
    for part in key.split("."):
        node = _child(node, part, key)
    return build_part(node, key, of)


def build_part(node: Any, key: str, of: type = object) -> Any:
    """Make the object that a part of a config describes; see :func:`build`.

    Args:
        node: the part.
        key: of the part, for errors.
        of: class that the object must have.
    """
    check_part(node, key)
    built = _build(node, key)
    _check_class(built, key, of)
    return built


def _build(node: Any, key: str) -> Any:
    """As Detectron2's ``instantiate``, which knows no keys."""
    if isinstance(node, ListConfig):
        items = [_build(_child(node, i, key), f"{key}.{i}") for i in range(len(node))]
        return ListConfig(items, flags={"allow_objects": True})
    if isinstance(node, list):
        return [_build(item, f"{key}.{i}") for i, item in enumerate(node)]
    if not isinstance(node, Mapping) or "_target_" not in node:
        return node
    target = find_target(_child(node, "_target_", key), key)
    arguments = {
        name: _build(_child(node, name, key), f"{key}.{name}")
        for name in node
        if name != "_target_"
    }
    for name, value in ARGUMENTS.get(target, {}).items():
        if isinstance(value, Part) and arguments.get(name) is not None:
            _check_class(arguments[name], f"{key}.{name}", value.of)
    return _call(target, arguments, key)


def _call(target: Callable[..., Any], arguments: Mapping[str, Any], key: str) -> Any:
    try:
        return target(**arguments)
    except InputError as error:
        if key in str(error):
            raise
        raise InputError(f"{key}: {error}") from error
    except OSError:  # names its file, see medmask.errors
        raise
    except Exception as error:
        reason = one_line(error) or "no reason given"
        raise InputError(
            f"{key} cannot be made by {name_of_target(target)}: {type(error).__name__}: {reason}"
        ) from error


def _check_class(built: Any, key: str, of: type | tuple[type, ...]) -> None:
    if not isinstance(built, of):
        names = " or ".join(each.__name__ for each in (of if isinstance(of, tuple) else (of,)))
        raise InputError(
            f"{key}._target_ gives an object of class {type(built).__name__}, but {key} must be of "
            f"class {names}"
        )


def _child(node: Any, name: str | int, key: str) -> Any:
    """A value with references followed."""
    try:
        return node[int(name) if isinstance(node, ListConfig | list) else name]
    except (OmegaConfBaseException, KeyError, IndexError, TypeError, ValueError):
        raise InputError(f"the config has no {key}") from None
