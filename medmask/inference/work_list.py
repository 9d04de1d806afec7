"""The list of images that the inputs of a command line mean: files, folders, manifests."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from medmask.errors import InputError
from medmask.inference.image_inputs import find_images
from medmask.inference.manifests import MANIFEST_SUFFIXES, Manifest, ManifestEntry
from medmask.inference.options import JOURNAL, OVERLAYS
from medmask.inference.prediction_images import PredictionImage, images_of_files
from medmask.utils.counts import counted


class WorkList:
    """Images of several inputs, in their order; it can be gone through again and again.

    Attributes:
        problems: a sentence for each thing among the inputs that cannot be looked at.
        passed_over: how many pictures that were drawn by a run of predictions are left out.
    """

    def __init__(
        self,
        inputs: Sequence[str | os.PathLike],
        frame: int | Literal["all"] | None = None,
    ) -> None:
        """Search files and folders; manifests are read when the list is gone through.

        Args:
            inputs: see :func:`find_images`; or manifests, see :class:`Manifest`.
            frame: see :func:`images_of_files`; it is not for the images of manifests.

        Raises:
            InputError: an input does not exist, nothing that can be read is found, or a frame is
                chosen where there are manifests alone.
        """
        self.problems: list[str] = []
        self.passed_over = 0
        self._lists: list[Manifest | list[PredictionImage]] = []
        files: list[str | os.PathLike] = []
        for given in inputs:
            if Path(given).suffix.lower() in MANIFEST_SUFFIXES:
                self._add_files(files, frame)
                files = []
                self._lists.append(Manifest(given))
            else:
                files.append(given)
        self._add_files(files, frame)
        if frame is not None and all(isinstance(images, Manifest) for images in self._lists):
            raise InputError(
                "a frame is chosen for files alone: manifests name theirs in a column frame"
            )

    def __iter__(self) -> Iterator[PredictionImage]:
        """All images; one that several inputs name comes several times."""
        for images in self._lists:
            yield from images

    def entries(self) -> Iterator[PredictionImage | ManifestEntry]:
        """All images, those of manifests not made yet."""
        for images in self._lists:
            yield from images.entries() if isinstance(images, Manifest) else images

    def _add_files(
        self, inputs: Sequence[str | os.PathLike], frame: int | Literal["all"] | None
    ) -> None:
        if not inputs:
            return
        found = find_images(inputs)
        self.problems += found.problems
        paths = [path for path in found.paths if not _is_drawn(path)]
        drawn = len(found.paths) - len(paths)
        self.passed_over += drawn
        if not paths:
            raise InputError(
                f"the inputs hold nothing but {counted(drawn, 'picture')} that predict drew"
            )
        self._lists.append(images_of_files(paths, frame))


def _is_drawn(path: Path) -> bool:
    """Tell whether a path is a picture in an output folder of a run of predictions."""
    folder = path.absolute().parent
    return folder.name == OVERLAYS and any(folder.parent.glob(f"{Path(JOURNAL).stem}*.jsonl"))
