"""File names for pictures that are made of images in several folders."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

_MOST_BYTES = 200  # file systems allow 255; what is written beside a picture needs a few more


def picture_names(images: Sequence[str | os.PathLike]) -> list[str]:
    """Name a PNG file for each image; different images get different names.

    An image ``x.dcm`` becomes ``x.png``. Where several images would get one name, as in
    CBIS-DDSM, which calls every image ``1-1.dcm``, the folders that tell them apart are put in
    front (``a/x.dcm``, ``b/x.dcm``: ``a_x.png``, ``b_x.png``), then the suffix is added
    (``x_dcm.png``, ``x_jpg.png``), then a number. Names differ by more than their case.

    Args:
        images: paths.

    Returns:
        Names in the order of ``images``, the same for the same images, short enough for all file
        systems.
    """
    candidates = [_candidates(parts) for parts in _below_common_folder(images)]
    chosen = [0] * len(images)
    while True:
        names = [options[index] for options, index in zip(candidates, chosen, strict=True)]
        count = Counter(name.casefold() for name in names)
        undecided = [
            i
            for i, name in enumerate(names)
            if count[name.casefold()] > 1 and chosen[i] + 1 < len(candidates[i])
        ]
        if not undecided:
            return [f"{name}.png" for name in _numbered(names)]
        for i in undecided:
            chosen[i] += 1


def _below_common_folder(images: Sequence[str | os.PathLike]) -> list[tuple[str, ...]]:
    """The parts of each path, without the folders that all paths share."""
    parts = [Path(os.path.normpath(image)).parts for image in images]
    levels = zip(*(folders[:-1] for folders in parts), strict=False)
    shared = len(list(takewhile(lambda level: len(set(level)) == 1, levels)))
    return [path[shared:] for path in parts]


def _candidates(parts: tuple[str, ...]) -> list[str]:
    """Names of one image, each telling more than the one before."""
    *folders, file = parts
    stem = Path(file).stem
    names = ["_".join([*folders[len(folders) - n :], stem]) for n in range(len(folders) + 1)]
    suffix = Path(file).suffix.lstrip(".")
    return [_shortened(name) for name in (*names, f"{names[-1]}_{suffix}")]


def _shortened(name: str) -> str:
    """Cut a name that is too long for a file, with a hash of what was cut off."""
    name = name.replace(os.sep, "_").replace("\0", "_")
    content = name.encode(errors="surrogatepass")  # a name that is not UTF-8 has surrogates
    if len(content) <= _MOST_BYTES:
        return name
    end = content[-_MOST_BYTES + 17 :].decode(errors="ignore")
    return f"{hashlib.sha256(content).hexdigest()[:16]}_{end}"


def _numbered(names: Sequence[str]) -> list[str]:
    """Append a number to every name that an earlier one has already."""
    taken = {name.casefold() for name in names}
    seen: set[str] = set()
    result = []
    for name in names:
        unique, number = name, 1
        while unique.casefold() in seen:
            number += 1
            numbered = f"{name}_{number}"
            if numbered.casefold() not in taken:
                unique = numbered
        seen.add(unique.casefold())
        result.append(unique)
    return result
