"""Data sets of the user's own in ``config.yaml``.

A ``.py`` config registers them when it runs (:func:`medmask.data.register_coco_dataset`). In a
``config.yaml`` nothing runs, so it keeps what the calls said, for every command that reads it::

    own_datasets:
      mine_val:
        json_file: /data/mine/val.json
        image_root: /data/mine/images
        thing_classes: [malignant]
"""

import os
from typing import Any

from detectron2.data import DatasetCatalog
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medmask.config.tree import iterate_values
from medmask.data import register_coco_dataset
from medmask.data.catalog import describe_own_dataset
from medmask.errors import InputError

KEY = "own_datasets"
_FIELDS = ("json_file", "image_root", "thing_classes")


def with_own_datasets(config: DictConfig) -> DictConfig:
    """A config with the user's own data sets that its values name, as they are registered now."""
    described = {}
    for _, parent, name in iterate_values(config):
        try:
            value = parent[name]
        except OmegaConfBaseException:  # a missing value, or a reference to one
            continue
        own = describe_own_dataset(value) if isinstance(value, str) else None
        if own is not None:
            described[value] = own
    whole = config.copy()
    whole.pop(KEY, None)
    if described:
        whole[KEY] = described
    return whole


def register_own_datasets(
    config: DictConfig, source: str | os.PathLike, *, may_differ: bool = False
) -> list[str]:
    """Register the data sets that a config describes; their files are not looked at.

    Args:
        config: of the file, with overrides.
        source: the file, for errors.
        may_differ: leave names alone that stand for other files in this process, as those of two
            runs may.

    Returns:
        The names that are left alone so.

    Raises:
        InputError: what describes a set is faulty, or another set has its name.
    """
    node = config._get_node(KEY)
    if node is None:
        return []
    group = OmegaConf.to_container(node) if OmegaConf.is_config(node) else None
    if not isinstance(group, dict):
        raise InputError(f"{source}: {KEY} must be a group of data sets by their names")
    others = []
    for name, entry in group.items():
        if not isinstance(name, str):
            raise InputError(f"{source}: {KEY} has the name {name!r}, but names must be text")
        if not _register(f"{source}: {KEY}.{name}", name, entry, may_differ):
            others.append(name)
    return others


def _register(key: str, name: str, entry: Any, may_differ: bool) -> bool:
    """Register a set; False if its name stands for other files, and may."""
    if not isinstance(entry, dict) or sorted(entry) != sorted(_FIELDS):
        raise InputError(f"{key} must have the keys {', '.join(_FIELDS)}, and no others")
    files = {field: entry[field] for field in _FIELDS[:2]}
    if not all(isinstance(path, str) and path for path in files.values()):
        raise InputError(f"{key}: {' and '.join(files)} must be paths")
    registered = describe_own_dataset(name)
    if registered is not None and files.items() <= registered.items():
        return True  # by a .py config, or a run before
    if may_differ and name in DatasetCatalog:
        return False
    if registered is not None:
        raise InputError(
            f"{key} is {files['json_file']} with images in {files['image_root']}, but here the "
            f"name means {registered['json_file']} with images in {registered['image_root']}: take "
            "each by itself, or correct the paths"
        )
    try:
        register_coco_dataset(name, **entry)
    except InputError as error:
        raise InputError(f"{key} cannot be registered: {error}") from None
    return True
