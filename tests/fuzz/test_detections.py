"""Damaged files of detections: what is read is what the file says, or it is refused."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from campaign import REFUSED, RIGHT, run_campaign, seeds
from isolation import assert_accepted, call
from mutations import damage_bytes, damage_json, to_json_bytes

from medmask.coco import class_of_name
from medmask.errors import InputError
from medmask.evaluation import (
    Detections,
    GroundTruth,
    average_precision,
    detections_to_coco,
    evaluate_detections,
    read_detections,
)

NUM_IMAGES = 12
DETECTIONS_PER_IMAGE = 2


def build_truth() -> GroundTruth:
    """Every image has a lesion of its own place and size; ids run against the order."""
    images = np.arange(NUM_IMAGES)
    corners = np.stack([10 + 20 * images, 30 + 5 * images], axis=1)
    boxes = np.hstack([corners, corners + 12]).astype(float)
    return GroundTruth(
        image_ids=tuple(NUM_IMAGES - i for i in range(NUM_IMAGES)),
        category_ids=(1, 5),
        category_names=("mal", "benign"),
        boxes=boxes,
        image_indices=images,
        category_indices=images % 2,
        is_crowd=np.zeros(NUM_IMAGES, bool),
        patients=(None,) * NUM_IMAGES,
        lateralities=(None,) * NUM_IMAGES,
        file_names=tuple(f"{'ab'[i % 2]}/case {i // 2}/1-1.dcm" for i in range(NUM_IMAGES)),
    )


def perfect_records(truth: GroundTruth) -> list[dict[str, Any]]:
    """Every lesion found, beside boxes that score less."""
    found = Detections(
        boxes=np.repeat(truth.boxes, DETECTIONS_PER_IMAGE, axis=0),
        scores=np.tile([0.9, 0.2], NUM_IMAGES),
        image_indices=np.repeat(truth.image_indices, DETECTIONS_PER_IMAGE),
        category_indices=np.repeat(truth.category_indices, DETECTIONS_PER_IMAGE),
    )
    return detections_to_coco(truth, found)


def rename(records: list[dict[str, Any]], choose: random.Random) -> list[dict[str, Any]]:
    """The same detections as another tool may identify them, and never with another meaning."""
    image_ids = _numbers(records, "image_id", choose)
    category_ids = _numbers(records, "category_id", choose)
    root = choose.choice(["", "/data/x/", "C:\\data\\", "./", "a/", "b/"])
    with_names = choose.random() < 0.8
    renamed = []
    for record in records:
        changed = dict(record)
        changed["image_id"] = image_ids[record["image_id"]]
        changed["category_id"] = category_ids[record["category_id"]]
        changed["file_name"] = root + record["file_name"] if with_names else None
        if record["category_name"] == "mal" and choose.random() < 0.3:
            changed["category_name"] = "Malignant"
        renamed.append(changed)
    if not with_names and image_ids != {i: i for i in image_ids}:
        return records  # nothing would tell which image is meant
    choose.shuffle(renamed)
    return renamed


def _numbers(records: list[dict[str, Any]], field: str, choose: random.Random) -> dict[int, Any]:
    """Another numbering: none, of another set, permuted, or as floats."""
    ids = sorted({record[field] for record in records})
    kind = choose.randrange(5)
    others = [ids, [None] * len(ids), [1000 + i for i in ids], choose.sample(ids, len(ids)), ids]
    return dict(zip(ids, map(float, ids) if kind == 4 else others[kind], strict=True))


def judge(path: Path, is_renamed: bool) -> str:
    """Read a file and compare it with what it says; runs in a child process."""
    truth = build_truth()
    try:
        found = read_detections(path, truth)
    except InputError as error:
        return REFUSED if str(error).count("\n") == 0 else "several lines"
    records = json.loads(path.read_bytes())
    assert len(found) == len(records)
    for index, record in enumerate(records):
        x, y, width, height = record["bbox"]
        np.testing.assert_allclose(found.boxes[index], [x, y, x + width, y + height], rtol=1e-12)
        assert found.scores[index] == record["score"]
        assert 0 <= record["score"] <= 1
        _check_identity(record, found, index, truth)
    sensitivity = evaluate_detections(truth, found).sensitivity[-1]
    average_precision(truth, found)
    if is_renamed:
        assert sensitivity == 1, f"perfect detections found {sensitivity:.0%} of the lesions"
    return RIGHT


def _check_identity(record: dict, found: Detections, index: int, truth: GroundTruth) -> None:
    image, category = found.image_indices[index], found.category_indices[index]
    name, class_ = record.get("file_name"), record.get("category_name")
    if isinstance(name, str) and name:
        parts, known = name.replace("\\", "/").split("/"), truth.file_names[image].split("/")
        shared = min(len(parts), len(known))
        assert parts[-shared:] == known[-shared:]
    else:
        assert truth.image_ids[image] == record["image_id"]
    if record.get("image_id") in truth.image_ids:
        assert truth.image_ids[image] == record["image_id"]
    if isinstance(class_, str) and class_:
        assert class_of_name(class_) == class_of_name(truth.category_names[category])
    else:
        assert truth.category_ids[category] == record["category_id"]


@seeds
def test_damaged_detections(seeds, tmp_path):
    path, records = tmp_path / "detections.json", perfect_records(build_truth())

    def case(choose: random.Random) -> str:
        kind = choose.choice(["values", "bytes", "names"])
        if kind == "bytes":
            content = damage_bytes(to_json_bytes(records), choose)
        elif kind == "values":
            content = to_json_bytes(damage_json(records, choose, choose.choice((1, 1, 2))))
        else:
            content = to_json_bytes(rename(records, choose))
        path.write_bytes(content)
        return assert_accepted(call(judge, path, kind == "names"))

    verdicts = run_campaign(seeds, case)
    assert set(verdicts) == {REFUSED, RIGHT}
