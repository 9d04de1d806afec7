"""Drawings of readers, whatever the tool: shapes on pictures that were looked at or not."""

from collections.abc import Hashable
from dataclasses import dataclass, replace

from medmask.annotation.shapes import Shape
from medmask.utils.counts import counted


@dataclass(frozen=True)
class ReaderImage:
    """A picture in a file of annotations.

    Attributes:
        name: of the picture, as the file has it, without folder and suffix.
        is_reviewed: whether a reader has said to be done with it; shapes of one that is not may be
            proposals that nobody has looked at.
        shapes: on it.
        size: (width, height) in pixels that the file tells; None if it tells none.
        problem: a sentence, if the annotations cannot be taken over; there are no shapes then.
    """

    name: str
    is_reviewed: bool
    shapes: tuple[Shape, ...] = ()
    size: tuple[int, int] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ReaderAnnotations:
    """The content of a file of annotations.

    Attributes:
        images: each once.
        notes: one sentence for each thing that was taken over in another form.
    """

    images: tuple[ReaderImage, ...]
    notes: tuple[str, ...] = ()


def drop_copies(found: ReaderAnnotations) -> ReaderAnnotations:
    """Take a shape once that lies on itself several times, as one pasted where it was copied.

    Returns:
        The annotations without copies, and with a note on each image that had some.
    """
    images, notes = [], list(found.notes)
    for image in found.images:
        shapes = tuple({_identity(shape): shape for shape in image.shapes}.values())
        num_copies = len(image.shapes) - len(shapes)
        if num_copies:
            copies = counted(num_copies, "copy", "copies")
            notes.append(f"image {image.name}: {copies} of a shape at its very place left out")
        images.append(replace(image, shapes=shapes) if num_copies else image)
    return ReaderAnnotations(tuple(images), tuple(notes))


def _identity(shape: Shape) -> Hashable:
    return shape.label, shape.box, tuple(points.tobytes() for points in shape.polygons)
