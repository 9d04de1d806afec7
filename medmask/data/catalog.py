"""Registration of data sets with Detectron2, without touching the disk.

The folder trees are described in ``datasets/README.md``. The root is the environment variable
``DETECTRON2_DATASETS`` (``./datasets`` if unset), read when a data set is used, not before.
"""

import contextlib
import difflib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata

from medmask.coco import category_names, check_class_names, map_categories, read_categories
from medmask.converters.parts import PARTS, annotation_file
from medmask.converters.registry import CONVERTERS
from medmask.data.dataset_dicts import load_coco
from medmask.errors import InputError

_CITYSCAPES_CLASSES = ("person", "car", "train", "rider", "truck", "motorcycle", "bicycle", "bus")


@dataclass(frozen=True)
class Layout:
    """Paths of the files of a data set. The first candidate that exists is taken.

    Args:
        section: its section of ``datasets/README.md``; None for a set that the user registered.
        json_files: candidates for the annotation file, relative to the root or absolute.
        image_roots: candidates for the folder of the images, likewise.
        thing_classes: the class names; None takes those of the annotation file.
    """

    section: str | None
    json_files: tuple[str, ...]
    image_roots: tuple[str, ...]
    thing_classes: tuple[str, ...] | None


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
        return self._first_existing("annotation file", self.layout.json_files, Path.is_file)

    @property
    def image_root(self) -> str:
        """Path of the folder of the images.

        Raises:
            InputError: no candidate exists.
        """
        return self._first_existing("image folder", self.layout.image_roots, Path.is_dir)

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

    def _first_existing(
        self, kind: str, candidates: Sequence[str], exists: Callable[[Path], bool]
    ) -> str:
        root = dataset_root()
        paths = [root / candidate for candidate in candidates]
        for path in paths:
            if exists(path):
                return str(path)
        if self.layout.section is None:
            advice = "check the path given to register_coco_dataset, or in the run's config.yaml"
        else:
            advice = (
                f"build the tree of section '{self.layout.section}' in datasets/README.md, or set "
                f"DETECTRON2_DATASETS to its root (now {root})"
            )
        looked_for = " or ".join(map(str, paths))
        raise InputError(f"data set '{self.name}' has no {kind} {looked_for}: {advice}")


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
        json_files=(os.path.abspath(json_file),),
        image_roots=(os.path.abspath(image_root),),
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
        "json_file": layout.json_files[0],
        "image_root": layout.image_roots[0],
        "thing_classes": None if names is None else list(names),
    }


def register_datasets() -> None:
    """Register every data set of ``datasets/README.md``; names that are taken are left alone."""
    for name, layout in _known_layouts():
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


def _known_layouts() -> Iterator[tuple[str, Layout]]:
    for split in ("train", "val", "test"):
        for name, folder, section in (
            ("inbreast", "inbreast", "INbreast"),
            ("ddsm", "ddsm", "DDSM"),
            ("phantom_film", "phantom/film", "Phantoms"),
            ("phantom_ffdm", "phantom/ffdm", "Phantoms"),
        ):
            yield f"{name}_{split}", _mammography(section, folder, split)
        yield f"rsna_bsd1k_{split}", _rsna_bsd1k(split)
    for split in ("train", "val"):
        yield f"cityscapes_{split}", _cityscapes(split)
        yield f"cityscapes_caronly_{split}", _cityscapes_caronly(split)
        yield f"foggy_cityscapes_{split}", _foggy_cityscapes(split)
        yield f"sim10k_{split}", _sim10k(split)
        yield f"bdd100k_daytime_{split}", _bdd100k_daytime(split)
    for name in CONVERTERS:
        for part in PARTS:
            malignant = _converted(name, part, "malignant")
            yield f"{name}_{part}", malignant
            yield f"{name}_malignant_{part}", malignant
            yield f"{name}_lesion_{part}", _converted(name, part, "lesion")


def _mammography(section: str, folder: str, split: str) -> Layout:
    return Layout(
        section=section,
        json_files=(f"{folder}/annotations/instances_{split}.json",),
        image_roots=(f"{folder}/images/{split}", f"{folder}/images"),
        thing_classes=("malignant",),
    )


def _converted(name: str, part: str, label: str) -> Layout:
    """Layout of what ``medmask convert`` writes."""
    return Layout(
        section="From raw downloads",
        json_files=(f"{name}/annotations/{annotation_file(part, label)}",),
        image_roots=(f"{name}/images",),
        thing_classes=(label,),
    )


def _rsna_bsd1k(split: str) -> Layout:
    """The published archive names its files in several ways."""
    names = {
        "train": ("instances_train", "instances_full", "instances_train2017"),
        "val": ("instances_val", "instances_val2017"),
        "test": ("instances_test", "image_info_test-dev2017"),
    }[split]
    folders = dict.fromkeys((f"images/{split}", f"{split}2017", "train2017"))
    return Layout(
        section="RSNA-BSD1K",
        # first what was converted, which leaves out of training what the others hold
        json_files=(
            f"rsna_bsd1k/annotations/instances_{split}.json",
            *(f"rsna-bsd1k/annotations/{name}.json" for name in names),
        ),
        image_roots=("rsna_bsd1k/images", *(f"rsna-bsd1k/{folder}" for folder in folders)),
        thing_classes=("malignant",),
    )


def _cityscapes(split: str) -> Layout:
    return Layout(
        section="Cityscapes",
        json_files=(f"cityscapes/annotations/cityscapes_{split}_cocostyle.json",),
        image_roots=(f"cityscapes/leftImg8bit/{split}",),
        thing_classes=_CITYSCAPES_CLASSES,
    )


def _cityscapes_caronly(split: str) -> Layout:
    names = (f"cityscapes_{split}_caronly", f"cityscapes_caronly_{split}")
    return Layout(
        section="Cityscapes",
        json_files=tuple(f"cityscapes/annotations/{name}_cocostyle.json" for name in names),
        image_roots=(f"cityscapes/leftImg8bit/{split}",),
        thing_classes=("car",),
    )


def _foggy_cityscapes(split: str) -> Layout:
    return Layout(
        section="Foggy Cityscapes",
        json_files=(f"foggy_cityscapes/annotations/foggy_cityscapes_{split}_cocostyle.json",),
        image_roots=(f"foggy_cityscapes/leftImg8bit_foggy/{split}",),
        thing_classes=_CITYSCAPES_CLASSES,
    )


def _sim10k(split: str) -> Layout:
    return Layout(
        section="SIM10k",
        json_files=(f"sim10k/annotations/sim10k_{split}_cocostyle.json",),
        image_roots=("sim10k/JPEGImages",),
        thing_classes=("car",),
    )


def _bdd100k_daytime(split: str) -> Layout:
    file = f"annotations/bdd100k_daytime_{split}_cocostyle.json"
    return Layout(
        section="BDD100K, daytime",
        json_files=(f"bdd10k/{file}", f"bdd100k/{file}"),
        image_roots=("bdd10k/JPEGImages", f"bdd100k/images/100k/{split}"),
        thing_classes=_CITYSCAPES_CLASSES,
    )
