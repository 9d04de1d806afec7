"""The results of all parts of a folder of predictions, image by image, and the files made of them.

Records are read and written one at a time: memory holds where they are, not what they say.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.inference.class_labels import ClassLabels
from medmask.inference.options import DETECTIONS, FORMATS, result_files
from medmask.inference.part_files import missing_shards, part_files
from medmask.inference.prediction_images import PredictionImage
from medmask.inference.prediction_parts import PartsReader
from medmask.inference.prediction_record import DONE, PredictionRecord
from medmask.inference.result_files import (
    DETECTIONS_TABLE,
    IMAGES_TABLE,
    RowWriter,
    open_csv,
    open_json,
    open_parquet,
)
from medmask.utils.files import remove_abandoned_files
from medmask.utils.json_files import valid_unicode


@dataclass(frozen=True)
class MergeSummary:
    """Outcome of a merge.

    Attributes:
        images: how many of each status.
        problems: a sentence for each shard that has not ended, and for each image that is not done.
        is_calibrated: whether detections have probabilities.
    """

    images: Counter
    problems: tuple[str, ...]
    is_calibrated: bool = False


def merge_predictions(folder: Path, formats: Sequence[str]) -> MergeSummary:
    """Write the results of all shards of a folder.

    Args:
        folder: that shards have written their predictions to.
        formats: see :data:`medmask.inference.options.FORMATS`.

    Raises:
        InputError: the folder holds no predictions, or those of other weights or settings, or a
            part is damaged.
    """
    if not part_files(folder):
        raise InputError(f"{folder} holds no predictions: give the --output of a run to merge")
    remove_abandoned_files(folder)
    parts = PartsReader(folder)
    settings = next(iter(parts.settings.values()), {})
    parts.check_settings(settings)
    labels = ClassLabels(
        tuple(settings.get("category_names", ())), tuple(settings.get("category_ids", ()))
    )
    summary = write_results(folder, read_records(parts), labels, formats)
    return replace(
        summary,
        problems=(*missing_shards(folder, len(parts.places)), *summary.problems),
        is_calibrated=settings.get("calibration") is not None,
    )


def read_records(
    parts: PartsReader, images: Iterable[PredictionImage] | None = None
) -> Iterator[PredictionRecord]:
    """Read the last record of each image, one at a time.

    Args:
        parts: of a folder of predictions.
        images: in the order to read them, each of which has a record, under the names that they
            have now; None for all in the order of the list that they were predicted from.
    """
    if images is None:
        yield from map(parts.read, sorted(parts.places, key=lambda key: parts.places[key].position))
        return
    seen = set()
    for image in images:
        key = image.key
        if key not in seen:
            seen.add(key)
            yield replace(parts.read(key), file_name=image.file_name)


def write_results(
    folder: Path, records: Iterable[PredictionRecord], labels: ClassLabels, formats: Sequence[str]
) -> MergeSummary:
    """Write files of results, each whole or not at all.

    Those that the folder has in other formats are written, too, or they would lack what is new.

    Args:
        folder: where to write.
        records: of each image once.
        labels: names and category ids of the classes.
        formats: ``json``: the detections as COCO's list of results. ``csv``, ``parquet``: a table
            of the detections and a table of the images.

    Raises:
        InputError: a format needs a package that is missing.
    """
    counts: Counter = Counter()
    problems = []
    formats = [x for x in FORMATS if x in formats or _are_there(folder, result_files([x]))]
    with contextlib.ExitStack() as stack:
        detections, images = _open(folder, formats, stack.enter_context)
        for record in records:
            counts[record.status] += 1
            if record.error is not None:
                problems.append(record.error)
            for writer in images:
                writer.write(_image_row(record))
            for detection in record.detections:
                coco = _coco_result(record, detection, labels)
                for writer in detections["json"]:
                    writer.write(coco)
                for writer in detections["table"]:
                    writer.write(_detection_row(record, coco))
    return MergeSummary(counts, tuple(problems))


def _are_there(folder: Path, names: Iterable[str]) -> bool:
    return any((folder / name).exists() for name in names)


def _open(
    folder: Path, formats: Sequence[str], enter: Callable[[Any], RowWriter]
) -> tuple[dict[str, list[RowWriter]], list[RowWriter]]:
    """Writers of detections, as COCO results and as rows of a table, and those of images."""
    detections: dict[str, list[RowWriter]] = {"json": [], "table": []}
    images = []
    if "json" in formats:
        detections["json"].append(enter(open_json(folder / DETECTIONS)))
    for name, open_table in (("csv", open_csv), ("parquet", open_parquet)):
        if name in formats:
            path = folder / f"detections.{name}"
            detections["table"].append(enter(open_table(path, DETECTIONS_TABLE)))
            images.append(enter(open_table(folder / f"images.{name}", IMAGES_TABLE)))
    return detections, images


def _coco_result(
    record: PredictionRecord, detection: Mapping[str, Any], labels: ClassLabels
) -> dict[str, Any]:
    calibrated = {"probability": detection["probability"]} if "probability" in detection else {}
    return {
        "image_id": record.image_id,
        "file_name": record.file_name,
        "category_id": labels.category_ids[detection["class"]],
        "category_name": labels.names[detection["class"]],
        "bbox": detection["bbox"],
        "score": detection["score"],
        **calibrated,
    }


def _detection_row(record: PredictionRecord, coco: Mapping[str, Any]) -> dict[str, Any]:
    x, y, width, height = coco["bbox"]
    return _identity(record) | {
        "category_id": coco["category_id"],
        "category_name": coco["category_name"],
        "score": coco["score"],
        "probability": coco.get("probability"),
        "x": x,
        "y": y,
        "width": width,
        "height": height,
    }


def _image_row(record: PredictionRecord) -> dict[str, Any]:
    is_done = record.status == DONE
    return _identity(record) | {
        "status": record.status,
        "error": record.error and valid_unicode(record.error),  # which may name any file
        "height": record.height,
        "width": record.width,
        "detections": len(record.detections) if is_done else None,
        "highest_score": max((x["score"] for x in record.detections), default=None),
        "probability": record.probability,
    }


def _identity(record: PredictionRecord) -> dict[str, Any]:
    image_id = None if record.image_id is None else str(record.image_id)
    return {"file_name": record.file_name, "frame": record.frame, "image_id": image_id}
