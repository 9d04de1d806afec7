"""Reading CVAT's own XML, of the format "CVAT for images 1.1".

CVAT does not tell which images a reader has looked at. The tag ``reviewed`` does; an image without
it counts as one that nobody has seen.
"""

from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from medmask.annotation.cvat import REVIEWED
from medmask.annotation.reader_annotations import ReaderAnnotations, ReaderImage
from medmask.annotation.shapes import (
    Shape,
    ellipse_shape,
    numbers,
    polygon_shape,
    turned_box_shape,
)
from medmask.errors import InputError


def read_cvat(root: Element, path: Path, *, all_reviewed: bool) -> ReaderAnnotations:
    """Interpret the file.

    Args:
        root: its root element.
        path: of the file, for messages.
        all_reviewed: whether every image in it was looked at, tag or not.

    Raises:
        InputError: it is another kind of file.
    """
    if root.tag != "annotations" or root.find("version") is None:
        raise InputError(f"{path} is not CVAT's XML: export the format 'CVAT for images 1.1'")
    if root.find("track") is not None:
        raise InputError(
            f"{path} is of the format 'CVAT for video': export 'CVAT for images 1.1' instead"
        )
    notes: list[str] = []
    images = tuple(
        _read_image(element, path, notes, all_reviewed=all_reviewed)
        for element in root.iterfind("image")
    )
    return ReaderAnnotations(images, tuple(notes))


def _read_image(
    element: Element, path: Path, notes: list[str], *, all_reviewed: bool
) -> ReaderImage:
    if not element.get("name"):
        raise InputError(f"{path} has an image without a name: export it again")
    name = picture_name(element.get("name", ""))
    tags = [tag.get("label") for tag in element.iterfind("tag")]
    notes += [f"image {name}: the tag '{tag}' is passed over" for tag in tags if tag != REVIEWED]
    is_reviewed = all_reviewed or REVIEWED in tags
    try:
        size = _size(element)
        shapes = tuple(_read_shape(shape, name, notes) for shape in element if shape.tag != "tag")
    except InputError as error:
        return ReaderImage(name, is_reviewed, problem=f"image {name}: {error}")
    return ReaderImage(name, is_reviewed, shapes, size)


def _size(element: Element) -> tuple[int, int]:
    try:
        return int(element.get("width", "")), int(element.get("height", ""))
    except ValueError:
        raise InputError("it has no width or height") from None


def picture_name(text: str) -> str:
    """The name of a picture without folders, which Windows parts by a backslash, and suffix."""
    return PurePosixPath(text.replace("\\", "/")).stem


def _read_shape(element: Element, name: str, notes: list[str]) -> Shape:
    label = element.get("label") or ""
    (degrees,) = numbers([element.get("rotation") or 0], 1)
    if element.tag == "box":
        corners = _values(element, "xtl", "ytl", "xbr", "ybr")
        return turned_box_shape(label, corners, degrees, image=name, notes=notes)
    if element.tag == "polygon":
        pairs = [pair.split(",") for pair in element.get("points", "").split(";")]
        return polygon_shape(label, [[x for pair in pairs for x in numbers(pair, 2)]])
    if element.tag == "ellipse":
        notes.append(f"image {name}: an ellipse became a polygon")
        x, y, along_x, along_y = _values(element, "cx", "cy", "rx", "ry")
        return ellipse_shape(label, (x, y), (along_x, along_y), degrees)
    raise InputError(
        f"it has a shape of the kind '{element.tag}'; boxes, polygons and ellipses are read"
    )


def _values(element: Element, *names: str) -> list[float]:
    return numbers([element.get(name) for name in names], len(names))
