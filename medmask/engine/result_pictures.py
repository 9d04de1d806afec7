"""Pictures of what a detector found in a data set, beside what is annotated."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, BoxMode, Instances
from tqdm import tqdm

from medmask.data.coco import read_coco_json
from medmask.data.image_io import read_image
from medmask.engine.overlay import draw_overlay, write_png


def draw_results(
    dataset: str,
    detections_file: str,
    output_dir: Path,
    *,
    num_images: int,
    score_threshold: float,
) -> None:
    """Draw the detections of an evaluation and the annotated boxes.

    Images with lesions come first, one of each patient before a second of any.

    Args:
        dataset: name of the registered data set that was evaluated.
        detections_file: list of detections in COCO's result format.
        output_dir: one PNG per image is written there.
        num_images: how many images to draw.
        score_threshold: detections with a lower score are left out.
    """
    metadata = MetadataCatalog.get(dataset)
    classes = metadata.thing_dataset_id_to_contiguous_id
    detections = defaultdict(list)
    for detection in read_coco_json(detections_file):
        if detection["score"] >= score_threshold:
            detections[detection["image_id"]].append(detection)
    records = _most_telling(DatasetCatalog.get(dataset))[:num_images]
    for record in tqdm(records, desc=f"drawing {dataset}", unit="image"):
        size = (record["height"], record["width"])
        overlay = draw_overlay(
            read_image(record["file_name"]),
            _to_instances(detections[record["image_id"]], size, classes),
            metadata.thing_classes,
            _annotated_boxes(record),
        )
        write_png(output_dir / f"{Path(record['file_name']).stem}.png", overlay)


def _most_telling(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    seen = defaultdict(int)

    def rank(record: dict[str, Any]) -> tuple[bool, int]:
        patient = record.get("patient_id", record["image_id"])
        seen[patient, bool(record["annotations"])] += 1
        return not record["annotations"], seen[patient, bool(record["annotations"])]

    return sorted(records, key=rank)


def _annotated_boxes(record: dict[str, Any]) -> np.ndarray:
    """(T, 4) as (x1, y1, x2, y2)."""
    boxes = [
        BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in record["annotations"]
    ]
    return np.array(boxes).reshape(-1, 4)


def _to_instances(
    detections: Sequence[dict[str, Any]], size: tuple[int, int], classes: dict[int, int]
) -> Instances:
    boxes = torch.tensor([d["bbox"] for d in detections]).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Instances(
        size,
        pred_boxes=Boxes(boxes),
        scores=torch.tensor([d["score"] for d in detections]),
        pred_classes=torch.tensor(
            [classes[d["category_id"]] for d in detections], dtype=torch.int64
        ),
    )
