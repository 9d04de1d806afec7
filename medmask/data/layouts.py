"""Places of the files of data sets, those of ``datasets/README.md`` by their names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medmask.converters.parts import PARTS, annotation_file
from medmask.converters.provenance import PROVENANCE
from medmask.converters.registry import CONVERTERS

_CITYSCAPES_CLASSES = ("person", "car", "train", "rider", "truck", "motorcycle", "bicycle", "bus")


@dataclass(frozen=True)
class Tree:
    """An annotation file and its images, by paths relative to the root or absolute.

    Args:
        json_file: the annotation file.
        image_roots: candidates for the folder of its images; the first that exists is taken.
        marker: a file without which the tree is another one; None if there is none.
    """

    json_file: str
    image_roots: tuple[str, ...]
    marker: str | None = None

    def is_in(self, root: Path) -> bool:
        """Tell whether the annotation file, and the marker, are there."""
        files = filter(None, (self.json_file, self.marker))
        return all((root / file).is_file() for file in files)


@dataclass(frozen=True)
class Layout:
    """Places of the files of a data set.

    Args:
        section: its section of ``datasets/README.md``; None for a set that the user registered.
        trees: the first that is there is taken, annotations and images, so that the file of one
            never goes with the images of another.
        thing_classes: the class names; None takes those of the annotation file.
    """

    section: str | None
    trees: tuple[Tree, ...]
    thing_classes: tuple[str, ...] | None


def known_layouts() -> Iterator[tuple[str, Layout]]:
    """Yield the name and the layout of every data set of ``datasets/README.md``."""
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
    json_file = f"{folder}/annotations/instances_{split}.json"
    images = f"{folder}/images"
    return Layout(
        section=section,
        trees=(
            # a converted one, whose file names may begin with the folder of a split
            Tree(json_file, (images,), marker=f"{folder}/{PROVENANCE}"),
            Tree(json_file, (f"{images}/{split}", images)),
        ),
        thing_classes=("malignant",),
    )


def _converted(name: str, part: str, label: str) -> Layout:
    """Layout of what ``medmask convert`` writes."""
    file = f"{name}/annotations/{annotation_file(part, label)}"
    return _of_one_tree("From raw downloads", file, f"{name}/images", (label,))


def _of_one_tree(
    section: str, json_file: str, image_root: str, thing_classes: tuple[str, ...]
) -> Layout:
    return Layout(section, (Tree(json_file, (image_root,)),), thing_classes)


def _rsna_bsd1k(split: str) -> Layout:
    """The published archive names its files in several ways."""
    names = {
        "train": ("instances_train", "instances_full", "instances_train2017"),
        "val": ("instances_val", "instances_val2017"),
        "test": ("instances_test", "image_info_test-dev2017"),
    }[split]
    folders = tuple(
        f"rsna-bsd1k/{folder}"
        for folder in dict.fromkeys((f"images/{split}", f"{split}2017", "train2017"))
    )
    return Layout(
        section="RSNA-BSD1K",
        # first what was converted, which leaves out of training what the others hold
        trees=(
            Tree(f"rsna_bsd1k/annotations/instances_{split}.json", ("rsna_bsd1k/images",)),
            *(Tree(f"rsna-bsd1k/annotations/{name}.json", folders) for name in names),
        ),
        thing_classes=("malignant",),
    )


def _cityscapes(split: str) -> Layout:
    file = f"cityscapes/annotations/cityscapes_{split}_cocostyle.json"
    images = f"cityscapes/leftImg8bit/{split}"
    return _of_one_tree("Cityscapes", file, images, _CITYSCAPES_CLASSES)


def _cityscapes_caronly(split: str) -> Layout:
    names = (f"cityscapes_{split}_caronly", f"cityscapes_caronly_{split}")
    return Layout(
        section="Cityscapes",
        trees=tuple(
            Tree(
                f"cityscapes/annotations/{name}_cocostyle.json",
                (f"cityscapes/leftImg8bit/{split}",),
            )
            for name in names
        ),
        thing_classes=("car",),
    )


def _foggy_cityscapes(split: str) -> Layout:
    file = f"foggy_cityscapes/annotations/foggy_cityscapes_{split}_cocostyle.json"
    images = f"foggy_cityscapes/leftImg8bit_foggy/{split}"
    return _of_one_tree("Foggy Cityscapes", file, images, _CITYSCAPES_CLASSES)


def _sim10k(split: str) -> Layout:
    file = f"sim10k/annotations/sim10k_{split}_cocostyle.json"
    return _of_one_tree("SIM10k", file, "sim10k/JPEGImages", ("car",))


def _bdd100k_daytime(split: str) -> Layout:
    file = f"annotations/bdd100k_daytime_{split}_cocostyle.json"
    return Layout(
        section="BDD100K, daytime",
        trees=(
            Tree(f"bdd10k/{file}", ("bdd10k/JPEGImages",)),
            Tree(f"bdd100k/{file}", (f"bdd100k/images/100k/{split}",)),
        ),
        thing_classes=_CITYSCAPES_CLASSES,
    )
