"""The plan of a run of predictions: which images of a list are left to do."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from medmask.errors import InputError
from medmask.inference.manifests import ManifestEntry
from medmask.inference.options import Shard
from medmask.inference.part_files import Failure
from medmask.inference.prediction_images import PredictionImage, file_state
from medmask.inference.prediction_parts import PartsReader
from medmask.inference.work_list import WorkList
from medmask.utils.counts import counted


@dataclass(frozen=True)
class Plan:
    """The images of a shard.

    Attributes:
        images: how many the shard has.
        listed: how many all shards have.
        left: positions in the list of all images of those that are left to do, ascending.
        list_digest: of the list of all images, in its order.
        left_out: failures of images that the list has no more.
    """

    images: int
    listed: int
    left: array
    list_digest: str
    left_out: frozenset[Failure]

    @property
    def done_before(self) -> int:
        return self.images - len(self.left)

    def images_left(
        self, images: Iterable[PredictionImage]
    ) -> Iterator[tuple[int, PredictionImage]]:
        """Positions and images that are left to do.

        Args:
            images: the list that was planned.
        """
        left = iter(self.left)
        wanted = next(left, None)
        for position, entry in enumerate(_entries(images)):
            if wanted is None:
                return
            if position == wanted:
                yield position, entry.image() if isinstance(entry, ManifestEntry) else entry
                wanted = next(left, None)


def make_plan(
    images: Iterable[PredictionImage],
    parts: PartsReader,
    shard: Shard,
    pictures: Path | None = None,
) -> Plan:
    """Look through a list of images once, without their files where they are archived.

    An image that is in the list twice counts once, at its first place.

    Args:
        images: of all shards.
        parts: what is done.
        shard: the part of the images to take.
        pictures: the folder of the pictures, if images whose picture is gone are to be done again.

    Raises:
        InputError: two images have the same id, the parts hold images that are not in the list, or
            an image has changed since it was done.
    """
    left = array("Q")
    count, seen = 0, set()
    ids: set[str] = set()
    digest = hashlib.blake2b(digest_size=12)
    for position, image in enumerate(_entries(images)):
        key = image.key
        digest.update(key.encode())
        if key in seen:
            continue
        seen.add(key)
        if image.image_id is not None:
            image_id = str(image.image_id)  # as the tables of results tell it
            if image_id in ids:
                raise _same_id(images, image_id)
            ids.add(image_id)
        is_done = parts.is_done(key)
        if is_done and isinstance(image, PredictionImage) and not image.is_archived:
            _check_unchanged(image, parts)
        if shard.has(position):
            count += 1
            if not is_done or (pictures is not None and not _has_picture(key, parts, pictures)):
                left.append(position)
    _check_others(parts, seen)
    left_out = frozenset(failure for failure in parts.failures if failure.key not in seen)
    return Plan(count, len(seen), left, digest.hexdigest(), left_out)


def _entries(images: Iterable[PredictionImage]) -> Iterable[PredictionImage | ManifestEntry]:
    """The images, those of manifests not made yet."""
    return images.entries() if isinstance(images, WorkList) else images


def _same_id(images: Iterable[PredictionImage], image_id: str) -> InputError:
    """The error of an id that several images have, whose results could not be told apart."""
    names = {image.key: image.name for image in images if str(image.image_id) == image_id}
    first, second, *_ = names.values()
    return InputError(
        f"images {first} and {second} have the same image_id {image_id}: give each an id of its "
        "own, or another name to the column"
    )


def _has_picture(key: str, parts: PartsReader, pictures: Path) -> bool:
    overlay = parts.read(key).overlay
    return overlay is not None and (pictures / overlay).exists()


def _check_unchanged(image: PredictionImage, parts: PartsReader) -> None:
    record = parts.read(image.key)
    if (record.bytes, record.modified) != file_state(image.path):
        raise InputError(
            f"image {image.name} has changed since it was predicted on in "
            f"{parts.places[image.key].part}: choose another output folder, or replace all "
            "predictions with --overwrite"
        )


def _check_others(parts: PartsReader, seen: set[str]) -> None:
    """Refuse to mix with predictions on other images."""
    others = [key for key, place in parts.places.items() if place.is_done and key not in seen]
    if others:
        record = parts.read(others[0])
        raise InputError(
            f"{parts.places[others[0]].part} holds predictions on "
            f"{counted(len(others), 'image that is', 'images that are')} not among the inputs "
            f"(first {record.path}): choose another output folder, or replace them with --overwrite"
        )
