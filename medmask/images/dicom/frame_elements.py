"""The elements that count for a frame (PS3.3 C.7.6.16, multi-frame functional groups)."""

from medmask.images.dicom.elements import Elements

_PER_FRAME = "PerFrameFunctionalGroupsSequence"
_SHARED = "SharedFunctionalGroupsSequence"


def frame_sources(elements: Elements, frame: int) -> list[Elements]:
    """Find where the elements of a frame can stand.

    Args:
        elements: those of the file.
        frame: the number of the frame, from 0.

    Returns:
        The functional groups of the frame itself, then those that all frames share, then the file:
        where an element stands in several, the first counts.

    Raises:
        InputError: there are functional groups, but none for this frame.
    """
    groups = elements.items(_PER_FRAME)
    if groups and frame >= len(groups):
        raise elements.fault(_PER_FRAME, f"has {len(groups)} items, none for frame {frame}")
    sources = []
    for group in (*groups[frame : frame + 1], *elements.items(_SHARED)[:1]):
        sources += [*group.nested(), group]
    return [*sources, elements]


def find_source(sources: list[Elements], *keywords: str) -> Elements | None:
    """The first source in which all of these elements are given."""
    return next((source for source in sources if source.has(*keywords)), None)
