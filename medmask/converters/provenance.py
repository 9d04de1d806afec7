"""The provenance of a converted tree: what it was made from, by what, and what was left out."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medmask.converters.annotation_files import AnnotationFiles
from medmask.converters.contract import LeftOut
from medmask.converters.image_files import WrittenImage
from medmask.converters.parts import ANNOTATIONS
from medmask.errors import InputError
from medmask.utils.json_files import read_json, valid_unicode, write_json
from medmask.version import __version__

PROVENANCE = "provenance.json"
_NOT_KNOWN = "not known"


def describe_sources(
    raw: Path, index_files: Sequence[Path], written: Sequence[WrittenImage]
) -> dict[str, Any]:
    """Counts and hashes of the raw files.

    Args:
        raw: the folder of the raw download.
        index_files: those of the set, which are few and small.
        written: the images that were converted.

    Returns:
        JSON values. The hash of the images is that of the list of their names and hashes; there is
        none where images were linked to and so not read. Images that an earlier call wrote are
        counted under its version of MedMask.
    """
    content: dict[str, Any] = {"folder": valid_unicode(raw.absolute())}
    content["index_files"] = [
        {
            "file": str(path.relative_to(raw) if path.is_relative_to(raw) else path),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(index_files)
        if path.is_file()
    ]
    content["images"] = len(written)
    content["images_written_by"] = dict(
        Counter(_NOT_KNOWN if x.version is None else f"medmask {x.version}" for x in written)
    )
    if all(image.source_sha256 for image in written):
        lines = sorted(f"{image.name} {image.source_sha256}\n" for image in written)
        content["images_sha256"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return content


def describe_faults(left_out: Sequence[LeftOut], problems: Sequence[str]) -> dict[str, Any]:
    """Images that are not converted, and problems, as JSON values."""
    return {
        "left_out": list(map(_describe, left_out)),
        "problems": [valid_unicode(problem) for problem in problems],
    }


def update_provenance(output: Path, content: Mapping[str, Any], written: AnnotationFiles) -> None:
    """Write ``provenance.json``; what it says of other annotation files that are there is kept.

    Its ``converter`` is the MedMask of this call; each annotation file has its own, unless it is of
    a time at which that was not told.

    Args:
        output: the tree.
        content: what this conversion was made from.
        written: the annotation files that it wrote.

    Raises:
        InputError: the file that is there cannot be read.
    """
    path = output / PROVENANCE
    kept: dict[str, Any] = {"left_out_by_label": {}, "annotation_files": {}}
    if path.is_file():
        before = read_json(path, "provenance")
        for key in kept:
            kept[key] = before.get(key, {}) if isinstance(before, dict) else None
            if not isinstance(kept[key], dict):
                raise InputError(f"provenance {path} is of another form; remove the file")
    files = kept["annotation_files"]
    kept["annotation_files"] = {
        name: files[name] for name in files if (output / ANNOTATIONS / name).is_file()
    }
    left_out_by_label = {
        label: list(map(_describe, left_out)) for label, left_out in written.left_out.items()
    }
    converter = f"medmask {__version__}"
    annotation_files = {
        name: {**counts._asdict(), "split": written.split, "converter": converter}
        for name, counts in written.counts.items()
    }
    write_json(
        path,
        {
            "converter": converter,
            **content,
            "left_out_by_label": {**kept["left_out_by_label"], **left_out_by_label},
            "annotation_files": {**kept["annotation_files"], **annotation_files},
        },
    )


def _describe(left_out: LeftOut) -> dict[str, str]:
    return {key: valid_unicode(text) for key, text in vars(left_out).items()}
