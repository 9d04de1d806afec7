"""Reading and writing ``config.yaml``: plain values only, and nothing in it runs."""

import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.utils.registry import _convert_target_to_string
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from medmask.config.targets import check_targets
from medmask.config.tree import Group, is_group, iterate_values, names_in, raw_value
from medmask.errors import InputError
from medmask.utils.failures import one_line
from medmask.utils.files import atomic_write

MAX_BYTES = 256 * 1024
MAX_VALUES = 20_000
"""After aliases are followed: an alias of aliases of aliases makes millions of a few lines."""
MISSING = "???"
PLAIN_TAGS = {
    f"tag:yaml.org,2002:{kind}"
    for kind in ("bool", "float", "int", "map", "null", "seq", "str", "timestamp")
}

_RESOLVER = re.compile(r"\$\{[^{}$]*:")
_IMPORTED_FILE = re.compile(r"detectron2\._cfg_loader\w*\.(.+)\.py\.")


def read_config_yaml(
    path: str | os.PathLike, *, without: Sequence[str] = (), any_target: bool = False
) -> DictConfig:
    """Read a config without running anything that it says.

    Values are plain YAML, or one reference to another key (``${train.seed}``). ``_target_`` may
    name what :func:`medmask.config.targets.find_allowed_target` allows.

    Args:
        path: of the file.
        without: top-level keys to leave out.
        any_target: take any ``_target_``, for a config that is compared and never built.

    Raises:
        InputError: the file is no such config; names the line or the key.
    """
    try:
        text = _read_text(Path(path))
        _check_nodes(yaml.compose(text, Loader=yaml.SafeLoader))
        config = OmegaConf.create(text, flags={"allow_objects": True})
        assert isinstance(config, DictConfig)  # as its root is a mapping
        for key in without:
            config.pop(key, None)
        if not any_target:
            check_targets(config)
        _check_references(config)
    except yaml.YAMLError as error:
        raise InputError(f"config file {path} is no YAML: {one_line(error)}") from None
    except RecursionError:
        raise InputError(f"config file {path} is nested too deeply") from None
    except (OmegaConfBaseException, ValueError) as error:
        raise InputError(f"config file {path} cannot be read: {one_line(error)}") from None
    return config


def write_config_yaml(config: DictConfig, path: str | os.PathLike) -> list[str]:
    """Write a config as :func:`read_config_yaml` reads it; the file appears complete or not at all.

    Callables that are a ``_target_`` become their names. References stay references where they are
    a whole value; what resolvers give is written out. Other objects of a ``.py`` config cannot be
    written and become ``???``, which means that the value is missing; so do groups with keys that
    are no text.

    Returns:
        The keys of what could not be written.

    Raises:
        InputError: the config is too large to be read again.
    """
    plain, lost = to_plain(config)
    text = yaml.dump(plain, Dumper=_Dumper, default_flow_style=None, allow_unicode=True, width=9999)
    try:
        _check_size(len(text.encode()))
        _check_nodes(yaml.compose(text, Loader=yaml.SafeLoader))
    except ValueError as error:
        raise InputError(
            f"the config cannot be kept in {path}: {error}; keep long lists in files of their own"
        ) from None
    with atomic_write(path, "w") as file:
        file.write(text)
    return lost


def to_plain(config: DictConfig) -> tuple[dict[str, Any], list[str]]:
    """A config in plain values, as it is written, and the keys of what is left out."""
    lost: list[str] = []
    return _to_plain(config, "", lost), lost


class _Dumper(yaml.SafeDumper):
    """Quotes texts that OmegaConf, unlike PyYAML, reads as numbers."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _read_text(path: Path) -> str:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for its other end
        raise ValueError("it is not a file, but a folder, a pipe or a device")
    _check_size(status.st_size)
    return path.read_text(encoding="utf-8")  # UnicodeDecodeError is a ValueError


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"it has {size} bytes, and a config has at most {MAX_BYTES}")


def _check_nodes(root: yaml.Node | None) -> None:
    """Check tags, keys and the number of values before anything is made of them."""
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("it is no mapping of keys to values")
    _count_values(root, {})


def _count_values(node: yaml.Node, counts: dict[int, int]) -> int:
    """Values of a node, those of aliases as often as they are used; ``counts`` keeps what is known.

    Raises:
        ValueError: there are too many, or one is not plain.
    """
    if id(node) in counts:
        return counts[id(node)]
    line = f"line {node.start_mark.line + 1}"
    if node.tag not in PLAIN_TAGS:
        raise ValueError(f"{line} has the tag {node.tag}, and a config has plain values only")
    counts[id(node)] = MAX_VALUES  # for an alias inside of what it stands for
    children = node.value if isinstance(node, yaml.CollectionNode) else []
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, _ in children:
            if key.tag != "tag:yaml.org,2002:str":
                raise ValueError(f"{line} has a key that is no text")
            if key.value in keys:
                raise ValueError(f"the part from {line} on has the key {key.value} twice")
            keys.add(key.value)
        children = [child for _, child in children]
    count = 1 + sum(_count_values(child, counts) for child in children)
    if count > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES} values")
    counts[id(node)] = count
    return count


def _check_references(config: DictConfig) -> None:
    """Check that references lead to values, one each: chains of more grow without bound."""
    for key, parent, name in iterate_values(config):
        raw = raw_value(parent, name)
        if not isinstance(raw, str) or "${" not in raw:
            continue
        if _RESOLVER.search(raw):
            raise ValueError(f"{key} is {raw}: a config.yaml may refer to other keys only")
        if raw.count("${") > 1:
            raise ValueError(f"{key} is {raw}: a value may hold one reference")
        try:
            if OmegaConf.is_config(parent[name]):
                raise ValueError(f"{key} is {raw}, which refers to a group of keys, not to a value")
        except InterpolationToMissingValueError:
            pass  # the user has to give it


def _to_plain(node: Any, key: str, lost: list[str]) -> Any:
    """A node in the plain values of YAML; ``lost`` gets the keys of what it cannot hold."""
    if is_group(node):
        is_list, names = isinstance(node, ListConfig), names_in(node)
        if not is_list and not all(isinstance(name, str) for name in names):
            lost.append(key)
            return MISSING
        parts = {
            name: _to_plain(_kept(node, name), f"{key}.{name}" if key else str(name), lost)
            for name in names
        }
        return list(parts.values()) if is_list else parts
    if node is None or type(node) in (bool, int, float, str):
        return node
    if callable(node) and key.rpartition(".")[2] == "_target_":
        return _name_of(node)
    if isinstance(node, os.PathLike):
        return os.fspath(node)
    if getattr(node, "ndim", None) == 0:  # a number of NumPy
        return node.item()
    lost.append(key)
    return MISSING


def stable_name(name: str) -> str:
    """The name of a callable without what is another at each reading of its config.

    Detectron2 calls a file that a ``.py`` config takes by a relative import
    ``detectron2._cfg_loader1a2b.<file>.py``, with digits that it draws; this leaves ``<file>``.
    """
    return _IMPORTED_FILE.sub(r"\1.", name)


def _name_of(target: Callable[..., Any]) -> str:
    try:
        return stable_name(_convert_target_to_string(target))
    except AttributeError:  # defined in the .py config itself, which is no module
        return getattr(target, "__qualname__", MISSING)


def _kept(parent: Group, name: str | int) -> Any:
    """A child as it is to be written: a reference, or the value that it leads to."""
    child = parent._get_node(name)
    if is_group(child):
        return child
    raw = raw_value(parent, name)
    if not isinstance(raw, str) or "${" not in raw:
        return raw
    try:
        resolved = parent[name]
    except InterpolationToMissingValueError:
        return raw
    is_plain = raw.count("${") == 1 and not _RESOLVER.search(raw)
    return raw if is_plain and not OmegaConf.is_config(resolved) else resolved
