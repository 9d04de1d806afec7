"""The annotation files of a converted set: one for each label and part."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from medmask.converters.annotations import ConvertedImage, find_unknown, make_document
from medmask.converters.contract import Converter, LeftOut
from medmask.converters.options import ConversionOptions
from medmask.converters.parts import annotation_file, fold_part
from medmask.converters.splits import choose_parts, patient_of
from medmask.utils.json_files import valid_unicode, write_json

logger = logging.getLogger(__name__)


class Counts(NamedTuple):
    """Counts of what an annotation file lists."""

    images: int
    patients: int
    lesions: int
    images_with_lesions: int


@dataclass(frozen=True)
class AnnotationFiles:
    """The annotation files that a conversion wrote.

    Attributes:
        split: a sentence that states how their images were chosen.
        counts: of each file, by its name.
        left_out: images that are in no file of a label, by the label.
    """

    split: str
    counts: dict[str, Counts] = field(default_factory=dict)
    left_out: dict[str, list[LeftOut]] = field(default_factory=dict)

    def left_out_of_all(self) -> list[LeftOut]:
        """List the images that every label leaves out."""
        groups = list(self.left_out.values())
        names = set.intersection(*({each.name for each in group} for group in groups))
        return [each for each in groups[0] if each.name in names]


def write_annotation_files(
    folder: Path,
    images: Sequence[ConvertedImage],
    converter: Converter,
    options: ConversionOptions,
) -> AnnotationFiles:
    """Write the files of all labels and parts, and remove folds of an earlier deal to more.

    Args:
        folder: of the annotation files.
        images: all of the set, at least one.
        converter: of the set.
        options: what the user chose.

    Raises:
        InputError: there are fewer patients than folds.
    """
    parts, how = choose_parts([image.source for image in images], options.folds, options.seed)
    files = AnnotationFiles(how)
    for label in options.labels:
        unknown = find_unknown(images, label, converter.marked)
        files.left_out[label] = list(unknown.values())
        for part, names in parts.items():
            chosen = [
                image
                for image in images
                if image.source.name in names and image.source.name not in unknown
            ]
            description = f"{converter.title}, {label}, {part}: {how}"
            document = make_document(chosen, label, description, converter.marked)
            write_json(folder / annotation_file(part, label), document)
            files.counts[annotation_file(part, label)] = _count(chosen, document)
        if options.folds is not None:
            _remove_folds_from(options.folds, folder, label)
    return files


def _remove_folds_from(first: int, folder: Path, label: str) -> None:
    """Remove the files of an earlier deal to more folds, which train on what these test on."""

    def files(fold: int) -> list[Path]:
        return [folder / annotation_file(fold_part(fold, x), label) for x in ("train", "test")]

    def is_there(fold: int) -> bool:
        return any(path.exists() for path in files(fold))

    for fold in reversed([*itertools.takewhile(is_there, itertools.count(first))]):
        for path in files(fold):  # the last fold first, so that a kill leaves no gap
            path.unlink(missing_ok=True)
            logger.info("removed %s, of an earlier deal to more folds", valid_unicode(path))


def _count(images: Sequence[ConvertedImage], document: dict[str, Any]) -> Counts:
    annotations = document["annotations"]
    return Counts(
        len(images),
        len({patient_of(image.source) for image in images}),
        len(annotations),
        len({annotation["image_id"] for annotation in annotations}),
    )
