"""Grouping images of like size into batches, a few images in memory at a time."""

from collections.abc import Iterable, Iterator

from medmask.inference.image_reader import Fault, ReadImage
from medmask.inference.reading_ahead import Reading

_GROUPS = 4  # batches' worth of images that may wait for others of their size


def batch_by_size(readings: Iterable[Reading], batch_size: int) -> Iterator[list[Reading]]:
    """Group readings whose model inputs are of one shape.

    A group is given when it is full; when too many images wait, the group whose first image has
    waited longest. Faults are given at once, each alone.

    Args:
        readings: in any order.
        batch_size: most images of a group, at least 1.
    """
    groups: dict[tuple[int, ...], list[Reading]] = {}
    for reading in readings:
        if isinstance(reading.result, Fault):
            yield [reading]
            continue
        shape = _shape(reading.result)
        groups.setdefault(shape, []).append(reading)
        if len(groups[shape]) == batch_size:
            yield groups.pop(shape)
        elif sum(map(len, groups.values())) >= _GROUPS * batch_size:
            yield groups.pop(next(iter(groups)))  # dicts keep the order in which groups began
    yield from groups.values()


def _shape(read: ReadImage) -> tuple[int, ...]:
    return tuple(read.model_input["image"].shape)
