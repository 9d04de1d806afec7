"""Detection on many images: overlays and a JSON file, whatever single images do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from medmask.errors import InputError
from medmask.evaluation.detection_files import detection_records
from medmask.inference.class_labels import ClassLabels
from medmask.inference.drawing import draw_overlay
from medmask.inference.options import DETECTIONS, JOURNAL, OVERLAYS, PredictionOptions
from medmask.inference.prediction_images import PredictionImage, read_spacing
from medmask.inference.prediction_journal import (
    JournalEntry,
    PredictionJournal,
    file_state,
    open_journal,
)
from medmask.inference.predictor import MedMaskPredictor
from medmask.utils.files import atomic_write, remove_abandoned_files
from medmask.utils.json_files import write_json
from medmask.utils.picture_names import picture_names
from medmask.utils.png_files import encode_png


@dataclass(frozen=True)
class PredictionSummary:
    """Outcome of a run.

    Attributes:
        images: how many there are.
        done_before: how many of them an earlier run had finished.
        problems: one sentence for each image that could not be predicted on.
    """

    images: int
    done_before: int
    problems: tuple[str, ...]


def predict_images(
    predictor: MedMaskPredictor,
    images: Sequence[PredictionImage],
    output_dir: Path,
    *,
    options: PredictionOptions | None = None,
    labels: ClassLabels | None = None,
    overwrite: bool = False,
) -> PredictionSummary:
    """Detect in all images, one by one, and keep what is done whatever happens to the rest.

    Writes ``overlays/*.png``, a line of ``predictions.jsonl`` for every image as soon as it is
    finished, and ``detections.json`` (COCO's result format) at the end. In a folder where such a
    run was stopped, it goes on: images that are finished are not predicted on again.

    Args:
        predictor: the detector.
        images: without repetition.
        output_dir: where to write.
        options: what is made of each image; the defaults if None.
        labels: names and category ids to write; None for those of the predictor.
        overwrite: start afresh in a folder that holds other predictions.

    Returns:
        How it went. An image that fails, for whatever reason, does not affect the others.

    Raises:
        InputError: the folder holds predictions of other weights, settings or images.
        OSError: the folder cannot be written to; what is done is kept.
    """
    options, labels = options or PredictionOptions(), labels or predictor.labels
    output_dir = Path(output_dir)
    _check_labels(labels, predictor.labels)
    _check_folder(output_dir, overwrite)
    settings = predictor.settings() | {
        "score_threshold": options.score_threshold,
        "overlays": options.overlays,
        "category_ids": list(labels.category_ids),
        "category_names": list(labels.names),
    }
    with open_journal(output_dir / JOURNAL, settings, overwrite=overwrite) as journal:
        remove_abandoned_files(output_dir)
        if overwrite:
            _remove_results(output_dir)
        _check_images(journal, images)
        pictures = _name_pictures(journal, images)

        def is_finished(image: PredictionImage) -> bool:
            picture = output_dir / OVERLAYS / pictures[image.key]
            return _is_done(journal, image) and (picture.exists() or not options.overlays)

        left = [image for image in images if not is_finished(image)]
        done_before = len(images) - len(left)
        progress = tqdm(
            left,
            desc="detecting",
            unit="image",
            total=len(images),
            initial=done_before,
            disable=None,  # where nobody watches
        )
        for image in progress:
            journal.append(
                _predict(predictor, image, output_dir, pictures[image.key], options, labels)
            )
        entries = [journal.entries[image.key] for image in images]
    write_json(output_dir / DETECTIONS, list(_join(images, entries)))
    problems = tuple(entry.error for entry in entries if not entry.is_done)
    return PredictionSummary(len(images), done_before, problems)


def _predict(
    predictor: MedMaskPredictor,
    image: PredictionImage,
    output_dir: Path,
    picture: str,
    options: PredictionOptions,
    labels: ClassLabels,
) -> JournalEntry:
    """Detect in one image and draw it; the line for the journal."""
    size, modified = file_state(image.path)
    known = {
        **dict(zip(("path", "frame", "image_id"), image.key, strict=True)),
        "bytes": size,
        "modified": modified,
    }
    overlay = None
    try:
        pixels = image.read(apply_voi=predictor.applies_voi)
        spacing = {"pixel_spacing_mm": read_spacing(image)} if predictor.uses_spacing else {}
        detections = predictor(pixels, **spacing)["instances"].to("cpu")
        if options.overlays:
            shown = detections[detections.scores >= options.score_threshold]
            viewed = pixels if predictor.applies_voi else image.read()
            overlay = encode_png(draw_overlay(viewed, shown, labels.names))
    except Exception as error:  # nothing that one image does may stop the rest
        return JournalEntry(**known, status="failed", error=_describe(image, error))
    if overlay is not None:  # an error here is one of the folder, and stops all
        with atomic_write(output_dir / OVERLAYS / picture) as file:
            file.write(overlay)
    return JournalEntry(
        **known,
        status="done",
        overlay=None if overlay is None else picture,
        detections=detection_records(
            detections.pred_boxes.tensor.numpy(),
            detections.scores.numpy(),
            detections.pred_classes.numpy(),
            image_id=image.image_id,
            file_name=image.file_name,
            category_ids=labels.category_ids,
            category_names=labels.names,
        ),
    )


def _describe(image: PredictionImage, error: Exception) -> str:
    """A sentence that names the file."""
    if isinstance(error, InputError):
        text = str(error)
        return text if str(image.path) in text else f"image {image.name}: {text}"
    if isinstance(error, MemoryError):
        return f"image {image.name} does not fit into memory: reduce it, or take another machine"
    reason = " ".join(str(error).split()) or "no reason given"
    return f"image {image.name} cannot be predicted on ({type(error).__name__}: {reason[:300]})"


def _join(
    images: Iterable[PredictionImage], entries: Iterable[JournalEntry]
) -> Iterable[dict[str, Any]]:
    """All detections in the order of the images, under the names that the images have now."""
    for image, entry in zip(images, entries, strict=True):
        for detection in entry.detections:
            yield detection | {"file_name": image.file_name}


def _check_labels(wanted: ClassLabels, known: ClassLabels) -> None:
    if wanted.names != known.names:
        raise InputError(
            f"the data set has the classes {', '.join(wanted.names)}, but the model knows "
            f"{', '.join(known.names)}: take weights that were trained on these classes"
        )


def _check_folder(output_dir: Path, overwrite: bool) -> None:
    written = [name for name in (DETECTIONS, OVERLAYS) if (output_dir / name).exists()]
    if written and not overwrite and not (output_dir / JOURNAL).exists():
        raise InputError(
            f"{output_dir} holds {written[0]} of another run: choose another output folder, or "
            "replace what is there with --overwrite"
        )


def _remove_results(output_dir: Path) -> None:
    (output_dir / DETECTIONS).unlink(missing_ok=True)
    for picture in (output_dir / OVERLAYS).glob("*.png"):
        picture.unlink()


def _check_images(journal: PredictionJournal, images: Sequence[PredictionImage]) -> None:
    """Refuse to mix with predictions on other images, or on files that changed since."""
    given = {image.key for image in images}
    others = [e for key, e in journal.entries.items() if e.is_done and key not in given]
    if others:
        raise InputError(
            f"{journal.path} holds predictions on {len(others)} images that are not among the "
            f"inputs (first {others[0].path}): choose another output folder, or replace them with "
            "--overwrite"
        )
    for image in images:
        if _is_done(journal, image):
            entry = journal.entries[image.key]
            if (entry.bytes, entry.modified) != file_state(image.path):
                raise InputError(
                    f"image {image.name} has changed since it was predicted on in {journal.path}: "
                    "choose another output folder, or replace all predictions with --overwrite"
                )


def _is_done(journal: PredictionJournal, image: PredictionImage) -> bool:
    entry = journal.entries.get(image.key)
    return entry is not None and entry.is_done


def _name_pictures(
    journal: PredictionJournal, images: Sequence[PredictionImage]
) -> dict[tuple, str]:
    """Name the picture of each image; those that are drawn already keep their names."""
    drawn = {key: Path(x.overlay).name for key, x in journal.entries.items() if x.overlay}
    taken = {name.casefold() for name in drawn.values()}
    names = {}
    sources = [image.picture_source for image in images]
    for image, name in zip(images, picture_names(sources), strict=True):
        if image.key in drawn:
            names[image.key] = drawn[image.key]
            continue
        unique, number = name, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{Path(name).stem}_{number}.png"
        taken.add(unique.casefold())
        names[image.key] = unique
    return names
