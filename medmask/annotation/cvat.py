"""Pre-annotations for CVAT, in its own XML and in COCO's format, and the labels of its task."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from medmask.annotation.manifest import ExportedImage
from medmask.errors import InputError

REVIEWED = "reviewed"
"""Tag that readers give to an image when they are done with it, whether it shows lesions or not."""

_SCORE = "score"


def labels(classes: Sequence[str]) -> list[dict[str, Any]]:
    """The labels of a task or project, for CVAT's editor of raw labels.

    Raises:
        InputError: a class has the name of the tag.
    """
    if REVIEWED in classes:
        raise InputError(
            f"a class is called '{REVIEWED}', as the tag of images that a reader is done with: "
            "name it otherwise"
        )
    score = {
        "name": _SCORE,
        "mutable": False,
        "input_type": "text",
        "default_value": "",
        "values": [""],
    }
    shapes = [{"name": name, "type": "any", "attributes": [score]} for name in classes]
    return [*shapes, {"name": REVIEWED, "type": "tag", "attributes": []}]


def to_xml(images: Sequence[ExportedImage], classes: Sequence[str]) -> str:
    """The content of a file of the format "CVAT for images 1.1", to upload to a task."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    # a task does without what follows, but not its projects, nor Datumaro
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    ElementTree.SubElement(task, "size").text = str(len(images))
    ElementTree.SubElement(task, "mode").text = "annotation"
    _add_labels(task, classes)
    for number, image in enumerate(images):
        attributes = {
            "id": str(number),
            "name": f"{image.name}.png",
            "width": str(image.pixel_map.width),
            "height": str(image.pixel_map.height),
        }
        element = ElementTree.SubElement(root, "image", attributes)
        for pre_annotation, box in zip(image.pre_annotations, image.shown_boxes, strict=True):
            sides = zip(("xtl", "ytl", "xbr", "ybr"), map(repr, box), strict=True)
            common = {"label": pre_annotation.label, "source": "auto", "occluded": "0"}
            shape = ElementTree.SubElement(
                element, "box", {**common, **dict(sides), "z_order": "0"}
            )
            score = ElementTree.SubElement(shape, "attribute", {"name": _SCORE})
            score.text = f"{pre_annotation.score:.4f}"
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_labels(task: ElementTree.Element, classes: Sequence[str]) -> None:
    parent = ElementTree.SubElement(task, "labels")
    for label in labels(classes):
        element = ElementTree.SubElement(parent, "label")
        ElementTree.SubElement(element, "name").text = label["name"]
        ElementTree.SubElement(element, "type").text = label["type"]
        attributes = ElementTree.SubElement(element, "attributes")
        for options in label["attributes"]:
            attribute = ElementTree.SubElement(attributes, "attribute")
            for name in ("name", "mutable", "input_type", "default_value"):
                ElementTree.SubElement(attribute, name).text = str(options[name])
            ElementTree.SubElement(attribute, "values").text = "\n".join(options["values"])


def to_coco(images: Sequence[ExportedImage], classes: Sequence[str]) -> dict[str, Any]:
    """The content of a file of the format "COCO 1.0", in pixels of the pictures."""
    category_ids = {name: number for number, name in enumerate(classes, start=1)}
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, start=1):
        size = {"width": image.pixel_map.width, "height": image.pixel_map.height}
        records.append({"id": image_id, "file_name": f"{image.name}.png"} | size)
        for pre_annotation, (x0, y0, x1, y1) in zip(
            image.pre_annotations, image.shown_boxes, strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_ids[pre_annotation.label],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "segmentation": [],
                    "iscrowd": 0,
                    "attributes": {_SCORE: f"{pre_annotation.score:.4f}"},
                }
            )
    return {
        "images": records,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in category_ids.items()],
    }
