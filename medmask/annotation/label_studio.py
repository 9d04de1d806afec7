"""Tasks for Label Studio, with pre-annotations; coordinates are percent of the picture."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from medmask.annotation.manifest import IMAGES, ExportedImage

_BOXES, _POLYGONS, _IMAGE = "lesion", "outline", "image"
"""Names of the controls and of the image in the labeling interface."""


def labeling_interface(classes: Sequence[str]) -> str:
    """The XML that a project's labeling interface is set up with: boxes and polygons.

    Args:
        classes: their labels.
    """
    view = ElementTree.Element("View")
    image = {"name": _IMAGE, "value": f"${_IMAGE}", "zoom": "true", "zoomControl": "true"}
    contrast = {"brightnessControl": "true", "contrastControl": "true"}
    ElementTree.SubElement(view, "Image", image | contrast)
    boxes = {"name": _BOXES, "toName": _IMAGE, "canRotate": "false"}
    polygons = {"name": _POLYGONS, "toName": _IMAGE}
    for kind, options in (("RectangleLabels", boxes), ("PolygonLabels", polygons)):
        control = ElementTree.SubElement(view, kind, options)
        for name in classes:
            ElementTree.SubElement(control, "Label", {"value": name})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def tasks(
    images: Sequence[ExportedImage], model_version: str, image_url: str
) -> list[dict[str, Any]]:
    """The content of a file of tasks to import.

    Args:
        images: of the export.
        model_version: that predictions are listed under.
        image_url: what stands before ``images/NAME.png``.
    """
    return [_task(image, model_version, image_url) for image in images]


def _task(image: ExportedImage, model_version: str, image_url: str) -> dict[str, Any]:
    data: dict[str, Any] = {
        _IMAGE: f"{image_url}{IMAGES}/{image.name}.png",
        "name": image.name,
    }
    if image.uncertainty is not None:
        data["uncertainty"] = image.uncertainty
    if not image.pre_annotations:
        return {"data": data}
    prediction = {
        "model_version": model_version,
        "score": max(x.score for x in image.pre_annotations),
        "result": [_region(image, number) for number in range(len(image.pre_annotations))],
    }
    return {"data": data, "predictions": [prediction]}


def _region(image: ExportedImage, number: int) -> dict[str, Any]:
    pre_annotation = image.pre_annotations[number]
    width, height = image.pixel_map.width, image.pixel_map.height
    x0, y0, x1, y1 = image.shown_boxes[number]
    return {
        "id": f"{image.name}-{number}",
        "type": "rectanglelabels",
        "from_name": _BOXES,
        "to_name": _IMAGE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": pre_annotation.score,
        "value": {
            "x": 100 * x0 / width,
            "y": 100 * y0 / height,
            "width": 100 * (x1 - x0) / width,
            "height": 100 * (y1 - y0) / height,
            "rotation": 0,
            "rectanglelabels": [pre_annotation.label],
        },
    }
