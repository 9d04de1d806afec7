"""Drawings of readers, whatever the tool: shapes on pictures that were looked at or not."""

from dataclasses import dataclass

from medmask.annotation.shapes import Shape


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
