"""An export for readers: pictures, pre-annotations, and the manifest that leads back."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medmask.annotation import cvat
from medmask.annotation.label_studio import labeling_interface, tasks
from medmask.annotation.manifest import (
    IMAGES,
    MANIFEST,
    SHARED,
    ExportedImage,
    Manifest,
    PreAnnotation,
    clip_box,
    read_manifest,
    write_manifest,
)
from medmask.annotation.options import ExportOptions
from medmask.annotation.pixel_map import PixelMap
from medmask.annotation.shown_image import make_shown_image
from medmask.coco import check_class_names
from medmask.dicom_results.predictions import Predictions, ScoredImage
from medmask.errors import InputError
from medmask.utils.file_hash import hash_file
from medmask.utils.file_lock import locked_folder
from medmask.utils.files import atomic_write, check_output_folder, remove_abandoned_files
from medmask.utils.json_files import valid_unicode, write_json
from medmask.utils.png_files import encode_png
from medmask.utils.progress import with_progress
from medmask.version import __version__

TASKS, INTERFACE = "label_studio/tasks.json", "label_studio/interface.xml"
CVAT_XML, CVAT_COCO = "cvat/annotations.xml", "cvat/coco.json"
CVAT_LABELS = "cvat/labels.json"

_CODE_LENGTH = 16  # hexadecimal digits


@dataclass(frozen=True)
class ExportSummary:
    """Outcome of an export.

    Attributes:
        images: that readers see.
        pre_annotations: on all of them.
        problems: one sentence for each image that they do not see.
    """

    images: int
    pre_annotations: int
    problems: tuple[str, ...]


def export_annotations(
    predictions: Predictions,
    output: Path,
    options: ExportOptions | None = None,
    *,
    uncertainties: Sequence[float | None] | None = None,
    overwrite: bool = False,
) -> ExportSummary:
    """Write pictures and pre-annotations of images for readers.

    ``OUTPUT/for_readers`` holds all that may leave the house; ``OUTPUT/manifest.json`` names the
    files of the images and stays.

    Args:
        predictions: detections on the images, in the order in which readers are to see them.
        output: where to write.
        options: the defaults if None.
        uncertainties: of each image, to be told beside it.
        overwrite: replace an export that is there; pictures of the same image, turned, cropped and
            reduced as before, keep their codes.

    Raises:
        InputError: the folder holds an export already, another run is writing one, or the classes
            are none.
        OSError: the folder cannot be written to.
    """
    options = options or ExportOptions()
    classes = _choose_classes(predictions, options)
    cvat.labels(classes)  # refuses a class of the tag's name before the work
    problems = list(predictions.problems)
    uncertainties = uncertainties or [None] * len(predictions.images)
    check_output_folder(output / SHARED / IMAGES)
    sentence = f"another run is writing an export to {output}: wait for its end, or choose another"
    with locked_folder(output, sentence):
        secret = _prepare(output, overwrite=overwrite)
        images = tuple(
            _write_images(predictions.images, uncertainties, output, secret, options, problems)
        )
        version = f"medmask {__version__} {predictions.weights}"
        files = _write_files(output / SHARED, images, classes, version, options)
        manifest = Manifest(secret, version, classes, images, files)
        write_manifest(output / MANIFEST, manifest)
    count = sum(len(image.pre_annotations) for image in images)
    return ExportSummary(len(images), count, tuple(problems))


def _choose_classes(predictions: Predictions, options: ExportOptions) -> tuple[str, ...]:
    """Labels that readers may give."""
    if options.classes is None:
        if not predictions.categories:
            raise InputError(
                "the predictions name no class that readers could give: name --classes"
            )
        return predictions.categories
    check_class_names(options.classes)
    missing = set(predictions.categories) - set(options.classes)
    if missing:
        raise InputError(
            f"the detections are of {', '.join(sorted(missing))}, which is none of the classes "
            f"{', '.join(options.classes)}: name it, too"
        )
    return options.classes


def _prepare(output: Path, *, overwrite: bool) -> str:
    """Make room for an export; returns the secret of its names."""
    remove_abandoned_files(output)
    pictures = list((output / SHARED / IMAGES).glob("*.png"))
    manifest = output / MANIFEST
    if pictures and not manifest.exists() and not overwrite:  # it is written last
        raise InputError(
            f"{output} holds pictures of an export that did not end: write it anew with "
            "--overwrite, or choose another folder"
        )
    if manifest.exists() and not overwrite:
        raise InputError(
            f"{output} holds an export already, which readers may have begun with: choose another "
            "folder, or replace it with --overwrite"
        )
    secret = read_manifest(manifest).secret if manifest.exists() else secrets.token_hex(16)
    for path in pictures:
        path.unlink()
    return secret


def _write_images(
    images: Sequence[ScoredImage],
    uncertainties: Sequence[float | None],
    output: Path,
    secret: str,
    options: ExportOptions,
    problems: list[str],
) -> Iterator[ExportedImage]:
    number = 1
    shown: dict[str, ScoredImage] = {}
    progress = with_progress(images, "writing pictures", "image")
    for image, uncertainty in zip(progress, uncertainties, strict=True):
        try:
            first = shown.setdefault(os.path.realpath(image.path), image)
            if first is not image:
                raise InputError(
                    f"image {image.path} of the id {image.image_id!r} is the same file as an image "
                    f"before it, of the id {first.image_id!r}: readers are shown that alone"
                )
            exported = _write_image(image, output, secret, number, options)
        except InputError as error:
            problems.append(str(error))
            continue
        number += 1
        yield replace(exported, uncertainty=uncertainty)


def _write_image(
    image: ScoredImage, output: Path, secret: str, number: int, options: ExportOptions
) -> ExportedImage:
    source = os.path.abspath(image.path)
    if valid_unicode(source) != source:
        raise InputError(
            f"image {valid_unicode(source)} has a name that is not Unicode, so that no annotation "
            "file can name it: rename it, and predict on it again"
        )
    findings = [x for x in image.findings if x.score >= options.score_threshold]
    shown = make_shown_image(image.path, [x.box for x in findings], options)
    name = f"{number:05}_{_code(secret, source, shown.pixel_map)}"
    content = encode_png(shown.pixels)
    with atomic_write(output / SHARED / IMAGES / f"{name}.png") as file:
        file.write(content)
    width, height = shown.stored_size
    boxes = [clip_box(finding.box, width, height) for finding in findings]
    return ExportedImage(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        source=source,
        source_sha256=hash_file(image.path),
        file_name=image.file_name or source,
        image_id=image.image_id,
        width=width,
        height=height,
        pixel_map=shown.pixel_map,
        pre_annotations=tuple(
            PreAnnotation(finding.category, box, finding.score)
            for finding, box in zip(findings, boxes, strict=True)
            if box[0] < box[2] and box[1] < box[3]
        ),
    )


def _code(secret: str, source: str, pixel_map: PixelMap) -> str:
    """A name that tells nothing of the image to who does not have the secret.

    Under the name of a picture that lay otherwise, viewers would show that, which they have kept,
    and what readers drew on it would be taken to be on this one.
    """
    content = os.fsencode(source) + b"\0" + json.dumps(pixel_map.to_json()).encode()
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()[:_CODE_LENGTH]


def _write_files(
    folder: Path,
    images: Sequence[ExportedImage],
    classes: Sequence[str],
    version: str,
    options: ExportOptions,
) -> dict[str, str]:
    """Write all files of pre-annotations; returns their hashes."""
    documents = {
        TASKS: tasks(images, version, options.image_url),
        CVAT_COCO: cvat.to_coco(images, classes),
        CVAT_LABELS: cvat.labels(classes),
    }
    texts = {INTERFACE: labeling_interface(classes), CVAT_XML: cvat.to_xml(images, classes)}
    for name, document in documents.items():
        write_json(folder / name, document)
    for name, text in texts.items():
        with atomic_write(folder / name, "w") as file:
            file.write(text)
    return {name: hash_file(folder / name) for name in (*documents, *texts)}
