"""Contents of a raw download, read and put in order for the engine."""

import json
import logging
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path

from medmask.converters.contract import Contents, Converter, Lesion, SourceImage
from medmask.converters.problems import list_first
from medmask.errors import InputError
from medmask.utils.counts import counted
from medmask.utils.json_files import valid_unicode

logger = logging.getLogger(__name__)


def read_contents(converter: Converter, raw: Path, *, complete: bool) -> Contents:
    """Read the index of a raw download.

    Args:
        converter: of the set.
        raw: the folder of the raw download.
        complete: every lesion is marked, so that an image without any shows none.

    Returns:
        The images in the order of their names, each of which stands once, as does each lesion of
        an image.

    Raises:
        InputError: there is nothing to convert.
    """
    contents = _check_names(converter.read(raw))
    if not contents.images:
        raise InputError(
            "\n".join(list_first(contents.problems)) or _nothing_to_convert(raw, contents)
        )
    contents = replace(contents, images=_drop_copies_of_lesions(contents.images, raw))
    if complete:
        return replace(contents, images=list(map(_call_free_of_malignancy, contents.images)))
    return contents


def _check_names(contents: Contents) -> Contents:
    """Leave out all but the first image of a name, as they would be one file."""
    counts = Counter(image.name for image in contents.images)
    problems = [
        f"{count} images have the name {name}, of which only the first is converted; the raw "
        "folder holds them several times"
        for name, count in counts.items()
        if count > 1
    ]
    images = list({image.name: image for image in reversed(contents.images)}.values())
    images.sort(key=lambda image: image.name)
    return replace(contents, images=images, problems=[*contents.problems, *problems])


def _drop_copies_of_lesions(images: Sequence[SourceImage], raw: Path) -> list[SourceImage]:
    """Take a lesion that a set tells several times once: a detector finds it no more than once."""
    unique = [
        replace(image, lesions=tuple({_identity(each): each for each in image.lesions}.values()))
        for image in images
    ]
    with_copies = [
        image.name
        for image, kept in zip(images, unique, strict=True)
        if len(kept.lesions) < len(image.lesions)
    ]
    if with_copies:
        logger.warning(
            "%s of %s with a lesion that is told several times, with nothing that differs: it is "
            "taken once; the first is %s",
            counted(len(with_copies), "image"),
            *(valid_unicode(raw), valid_unicode(with_copies[0])),
        )
    return unique


def _identity(lesion: Lesion) -> Hashable:
    """All that is told of a lesion."""
    outlines = tuple((outline.shape, outline.tobytes()) for outline in lesion.outlines)
    attributes = json.dumps(lesion.attributes, sort_keys=True, default=str)
    place = (outlines, lesion.box, lesion.mask, lesion.is_split)
    return place, lesion.malignant, attributes


def _nothing_to_convert(raw: Path, contents: Contents) -> str:
    why = [
        f"; left out: {len(contents.left_out)}, the first, {each.name}, because {each.reason}"
        for each in contents.left_out[:1]
    ]
    return f"{raw} holds no images to convert{''.join(why)}"


def _call_free_of_malignancy(image: SourceImage) -> SourceImage:
    """Label an image of a set that marks all lesions, if nothing is marked on it, and none told."""
    if image.lesions or image.lesion or image.malignant is not None:
        return image
    return replace(image, malignant=False)
