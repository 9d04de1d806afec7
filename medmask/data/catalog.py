"""Registration of data sets with Detectron2, without touching the disk.

The folder trees are described in ``datasets/README.md``. The root is the environment variable
``DETECTRON2_DATASETS`` (``./datasets`` if unset), read when a data set is used, not before.
"""

import contextlib
import difflib
import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata

from medmask.coco import category_names, check_class_names, map_categories, read_categories
from medmask.data.dataset_dicts import load_coco
from medmask.data.layouts import Layout, Tree, known_layouts
from medmask.errors import InputError


class CocoMetadata(Metadata):
    """Metadata whose paths and categories are looked up when they are asked for.

    Evaluators read ``json_file`` from the metadata, sometimes before the data set is loaded; the
    root may change until then.
    """

    def __init__(self, name: str, layout: Layout) -> None:
        super().__init__(name=name, evaluator_type="coco", layout=layout)

    @property
    def json_file(self) -> str:
        """Path of the annotation file.

        Raises:
            InputError: no candidate exists.
        """
        return str(dataset_root() / self._find_tree().json_file)

    @property
    def image_root(self) -> str:
        """Path of the folder of the images of that file.

        Raises:
            InputError: no candidate exists, or there is no annotation file.
        """
        image_roots = self._find_tree().image_roots
        for image_root in image_roots:
            path = dataset_root() / image_root
            if path.is_dir():
                return str(path)
        raise self._missing("image folder", image_roots)

    @property
    def thing_classes(self) -> list[str]:
        """Class names in the order of the contiguous ids."""
        if self.layout.thing_classes is not None:
            return list(self.layout.thing_classes)
        return category_names(self._categories())

    @property
    def thing_dataset_id_to_contiguous_id(self) -> dict[int, int]:
        """Category id of the annotation file to contiguous class id."""
        return map_categories(self._categories(), self.layout.thing_classes)

    def _categories(self) -> list[dict]:
        path = self.json_file
        return _read_categories(path, os.stat(path).st_mtime_ns, self.layout.thing_classes)

    def _find_tree(self) -> Tree:
        trees: tuple[Tree, ...] = self.layout.trees
        for tree in trees:
            if tree.is_in(dataset_root()):
                return tree
        raise self._missing("annotation file", dict.fromkeys(tree.json_file for tree in trees))

    def _missing(self, kind: str, candidates: Iterable[str]) -> InputError:
        root = dataset_root()
        if self.layout.section is None:
            advice = "check the path given to register_coco_dataset, or in the run's config.yaml"
        else:
            advice = (
                f"build the tree of section '{self.layout.section}' in datasets/README.md, or set "
                f"DETECTRON2_DATASETS to its root (now {root})"
            )
        looked_for = " or ".join(str(root / candidate) for candidate in candidates)
        return InputError(f"data set '{self.name}' has no {kind} {looked_for}: {advice}")


def check_registered(name: str) -> None:
    """Check that a data set has this name.

    Raises:
        InputError: none has; lists the most similar names.
    """
    if name not in DatasetCatalog:
        raise InputError(
            f"data set '{name}' is not registered{_similar_names(name)}; datasets/README.md has "
            "all names; for a set of your own, name the config that registers it, or the "
            "config.yaml of a run on it, with --config-file"
        )


def _similar_names(name: str) -> str:
    similar = difflib.get_close_matches(name, DatasetCatalog.list(), n=5)
    return f"; similar names are {', '.join(similar)}" if similar else ""


def dataset_root() -> Path:
    """The folder that holds all data sets."""
    return Path(os.environ.get("DETECTRON2_DATASETS", "datasets")).expanduser().absolute()


def register_coco_dataset(
    name: str,
    json_file: str | os.PathLike,
    image_root: str | os.PathLike,
    thing_classes: Sequence[str] | None = None,
) -> None:
    """Register your own COCO-style data set; the files are read when the set is used.

    Args:
        name: of the data set in configs.
        json_file: the annotation file.
        image_root: the folder that its file names are relative to.
        thing_classes: the class names, such as ``["malignant"]``; None takes the categories of the
            file in the order of their ids.

    Raises:
        InputError: another data set has this name, or the class names are none.
    """
    if thing_classes is not None:
        check_class_names(thing_classes)
    layout = Layout(
        section=None,
        trees=(Tree(os.path.abspath(json_file), (os.path.abspath(image_root),)),),
        thing_classes=None if thing_classes is None else tuple(thing_classes),
    )
    if name in DatasetCatalog and getattr(MetadataCatalog.get(name), "layout", None) != layout:
        raise InputError(f"a data set '{name}' is already registered; choose another name")
    _register(name, layout)


def describe_own_dataset(name: str) -> dict[str, Any] | None:
    """Arguments of the call that registers a set of the user's own again, as plain values.

    The class names are those of the annotation file where the call left them out and the file is
    there: they outlive it so.

    Returns:
        ``json_file``, ``image_root`` and ``thing_classes``; None if no such set has the name.
    """
    metadata = MetadataCatalog.get(name) if name in DatasetCatalog else None
    if not isinstance(metadata, CocoMetadata) or metadata.layout.section is not None:
        return None
    layout = metadata.layout
    names: Sequence[str] | None = layout.thing_classes
    if names is None:
        with contextlib.suppress(InputError):
            names = metadata.thing_classes
    return {
        "json_file": layout.trees[0].json_file,
        "image_root": layout.trees[0].image_roots[0],
        "thing_classes": None if names is None else list(names),
    }


def register_datasets() -> None:
    """Register every data set of ``datasets/README.md``; names that are taken are left alone."""
    for name, layout in known_layouts():
        _register(name, layout)


def _register(name: str, layout: Layout) -> None:
    if name not in DatasetCatalog:
        MetadataCatalog[name] = CocoMetadata(name, layout)
        DatasetCatalog.register(name, functools.partial(_load, name))


def _load(name: str) -> list[dict]:
    metadata = MetadataCatalog.get(name)
    return load_coco(metadata.json_file, metadata.image_root, metadata.layout.thing_classes)


@functools.lru_cache(maxsize=64)
def _read_categories(
    json_file: str, modified: int, thing_classes: tuple[str, ...] | None
) -> list[dict]:
    """The categories of a file; ``modified`` makes a changed file another entry of the cache."""
    return read_categories(json_file, thing_classes)
