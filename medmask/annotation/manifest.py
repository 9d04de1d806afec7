"""The record of an export for readers: what each picture shows, and how to come back to it.

It names the files of the images, and so stays with them; readers get the pictures alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmask.annotation.pixel_map import Box, PixelMap
from medmask.errors import InputError
from medmask.utils.json_files import read_json, write_json

MANIFEST = "manifest.json"
SHARED = "for_readers"
"""Folder of all that may leave the house."""
IMAGES = "images"
"""Folder of the pictures in it."""

_HEADER = {"format": "medmask.annotation.exporting", "version": 1}


@dataclass(frozen=True)
class PreAnnotation:
    """A detection that readers are shown.

    Attributes:
        label: name of its class.
        box: corners in pixels of the stored image, cut to it.
        score: in [0, 1].
    """

    label: str
    box: Box
    score: float


@dataclass(frozen=True)
class ExportedImage:
    """An image that readers are shown.

    Attributes:
        name: of the picture, without its suffix.
        sha256: of the picture's file.
        source: the file of the image, absolute.
        source_sha256: of that file.
        file_name: what the predictions call the image.
        image_id: of its data set; None if it belongs to none.
        width: of the stored image, in pixels.
        height: likewise.
        pixel_map: between stored and shown pixels.
        pre_annotations: detections that are shown.
        uncertainty: that its rank goes by; None where images are not ranked.
    """

    name: str
    sha256: str
    source: str
    source_sha256: str
    file_name: str
    image_id: int | str | None
    width: int
    height: int
    pixel_map: PixelMap
    pre_annotations: tuple[PreAnnotation, ...]
    uncertainty: float | None = None

    @property
    def shown_boxes(self) -> list[Box]:
        """The pre-annotations' corners in pixels of the picture, cut to it."""
        width, height = self.pixel_map.width, self.pixel_map.height
        return [
            clip_box(self.pixel_map.box_to_shown(x.box), width, height)
            for x in self.pre_annotations
        ]


@dataclass(frozen=True)
class Manifest:
    """An export for readers.

    Attributes:
        secret: what the names of pictures are made with, beside the files' own names.
        model_version: of the pre-annotations: package version and hash of the weights.
        classes: names that annotations may have, in the order of the detector's classes.
        images: in the order in which readers see them.
        files: SHA-256 of each file of pre-annotations, by its name in the shared folder.
    """

    secret: str
    model_version: str
    classes: tuple[str, ...]
    images: tuple[ExportedImage, ...]
    files: Mapping[str, str]


def clip_box(box: Box, width: float, height: float) -> Box:
    """Cut a box to an image of this size."""
    x0, y0, x1, y1 = box
    return (
        min(max(x0, 0.0), width),
        min(max(y0, 0.0), height),
        min(max(x1, 0.0), width),
        min(max(y1, 0.0), height),
    )


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write a manifest, whole or not at all."""
    content = _HEADER | {
        "secret": manifest.secret,
        "model_version": manifest.model_version,
        "classes": list(manifest.classes),
        "files": dict(manifest.files),
        "images": [_image_to_json(image) for image in manifest.images],
    }
    write_json(path, content)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        InputError: the file is missing, or is none.
    """
    content = read_json(path, "manifest")
    try:
        if {key: content[key] for key in _HEADER} != _HEADER:
            raise ValueError("it is of another format or version")
        return Manifest(
            secret=str(content["secret"]),
            model_version=str(content["model_version"]),
            classes=tuple(map(str, content["classes"])),
            images=tuple(map(_image_from_json, content["images"])),
            files=dict(content["files"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path} is no manifest of `medmask export-annotations` ({error}): name the folder "
            "that it has written"
        ) from None


def _image_to_json(image: ExportedImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "sha256": image.sha256,
        "source": image.source,
        "source_sha256": image.source_sha256,
        "file_name": image.file_name,
        "image_id": image.image_id,
        "width": image.width,
        "height": image.height,
        "pixel_map": image.pixel_map.to_json(),
        "uncertainty": image.uncertainty,
        "pre_annotations": [
            {"label": x.label, "box": list(x.box), "score": x.score} for x in image.pre_annotations
        ],
    }


def _image_from_json(content: dict[str, Any]) -> ExportedImage:
    return ExportedImage(
        name=str(content["name"]),
        sha256=str(content["sha256"]),
        source=str(content["source"]),
        source_sha256=str(content["source_sha256"]),
        file_name=str(content["file_name"]),
        image_id=content["image_id"],
        width=int(content["width"]),
        height=int(content["height"]),
        pixel_map=PixelMap.from_json(content["pixel_map"]),
        pre_annotations=tuple(map(_pre_annotation_from_json, content["pre_annotations"])),
        uncertainty=content["uncertainty"],
    )


def _pre_annotation_from_json(content: dict[str, Any]) -> PreAnnotation:
    x0, y0, x1, y1 = map(float, content["box"])
    return PreAnnotation(str(content["label"]), (x0, y0, x1, y1), float(content["score"]))
