"""Walking the keys of a config as they were written: references (``${...}``) are not followed."""

import difflib
import reprlib
from collections.abc import Iterable, Iterator
from typing import Any, TypeGuard, cast

from omegaconf import Container, DictConfig, ListConfig, Node, OmegaConf

Group = Container
"""A group of keys, or a list."""

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 80
_repr.maxlevel = 3


def is_group(node: Any) -> TypeGuard[Group]:
    """Test for a group or list with a content of its own, not null and no reference to another."""
    return OmegaConf.is_config(node) and isinstance(node._value(), dict | list)


def is_reference(parent: Any, name: str | int) -> bool:
    """Test whether a value refers to another key."""
    raw = raw_value(parent, name) if OmegaConf.is_config(parent) else None
    return isinstance(raw, str) and "${" in raw


def raw_value(parent: Group, name: str | int) -> Any:
    """A value as it was written."""
    return cast(Node, parent._get_node(name))._value()


def names_in(group: Group) -> list[str | int]:
    """Names of the keys of a group, or indices of a list."""
    return list(range(len(group))) if isinstance(group, ListConfig) else list(group)


def iterate_values(group: Group, prefix: str = "") -> Iterator[tuple[str, Group, str | int]]:
    """All values that are no groups.

    Yields:
        The key, such as ``train.seed``, the group that holds the value, and its name there.
    """
    for name in names_in(group):
        child = group._get_node(name)
        if is_group(child) and name != "_target_":
            yield from iterate_values(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", group, name


def iterate_keys(group: DictConfig, prefix: str = "") -> Iterator[str]:
    """All keys, those of groups included and those in lists left out."""
    for name in names_in(group):
        yield f"{prefix}{name}"
        child = group._get_node(name)
        if is_group(child) and isinstance(child, DictConfig):
            yield from iterate_keys(child, f"{prefix}{name}.")


def shorten(value: Any) -> str:
    """A value as it is shown in an error."""
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return _repr.repr(plain)


def suggest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """The end of a sentence about a name that is not known: the nearest that is, if any is near.

    Args:
        name: as it is given.
        known: names.
        likeness: of what is near, at least; 1 is equality.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return f"; did you mean {near[0]}?" if near else ""
