"""Pictures of what a detector found in a data set, beside what is annotated."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Boxes, Instances
from tqdm import tqdm

from medmask.data.dataset_dicts import box_corners, patient_of, read_dataset_image
from medmask.errors import InputError
from medmask.evaluation import Detections, ground_truth_of, read_detections
from medmask.inference.drawing import draw_overlay
from medmask.utils.files import check_output_folder
from medmask.utils.picture_names import picture_names
from medmask.utils.png_files import write_png


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
        detections_file: list of detections, see :func:`medmask.evaluation.read_detections`.
        output_dir: one PNG per image is written there, named by
            :func:`medmask.utils.picture_names.picture_names`.
        num_images: how many images to draw, at least 1.
        score_threshold: detections with a lower score are left out, in [0, 1].

    Raises:
        InputError: a number is out of its range, the data set or the file has problems, or they do
            not belong together.
    """
    if num_images < 1:
        raise InputError(f"the number of images to draw must be at least 1, got {num_images}")
    if not 0 <= score_threshold <= 1:
        raise InputError(f"the score threshold must be in [0, 1], got {score_threshold}")
    check_output_folder(output_dir)
    truth = ground_truth_of(dataset)
    detections = read_detections(detections_file, truth)
    detections = detections.select(detections.scores >= score_threshold)
    index_of = {image_id: index for index, image_id in enumerate(truth.image_ids)}
    all_records = DatasetCatalog.get(dataset)
    names = picture_names([record["file_name"] for record in all_records])
    records = _most_telling(all_records)[:num_images]
    for record in tqdm(records, desc=f"drawing {dataset}", unit="image"):
        index = index_of[record["image_id"]]
        of_image = detections.select(detections.image_indices == index)
        overlay = draw_overlay(
            read_dataset_image(record),
            _to_instances(of_image, (record["height"], record["width"])),
            truth.category_names,
            box_corners(record["annotations"]),
        )
        write_png(output_dir / names[index], overlay)


def _most_telling(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    seen = defaultdict(int)

    def rank(record: dict[str, Any]) -> tuple[bool, int]:
        patient = patient_of(record)
        seen[patient, bool(record["annotations"])] += 1
        return not record["annotations"], seen[patient, bool(record["annotations"])]

    return sorted(records, key=rank)


def _to_instances(detections: Detections, size: tuple[int, int]) -> Instances:
    return Instances(
        size,
        pred_boxes=Boxes(torch.from_numpy(detections.boxes)),
        scores=torch.from_numpy(detections.scores),
        pred_classes=torch.from_numpy(detections.category_indices),
    )
