"""Detection on many images: overlays and a JSON file, whatever single images do."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.structures import Instances
from tqdm import tqdm

from medmask.data.image_io import read_image
from medmask.engine.overlay import draw_overlay, write_png
from medmask.engine.predictor import MedMaskPredictor
from medmask.errors import InputError
from medmask.utils.files import atomic_write


def predict_images(
    predictor: MedMaskPredictor,
    paths: Sequence[Path],
    output_dir: Path,
    *,
    score_threshold: float,
) -> list[str]:
    """Detect in all images and write ``detections.json`` and ``overlays/*.png``.

    Args:
        predictor: the detector.
        paths: the images.
        output_dir: where to write.
        score_threshold: overlays show detections with at least this score; the JSON holds all.

    Returns:
        One sentence for each image that could not be read; the others are not affected.
    """
    names = _overlay_names(paths)
    results, problems = [], []
    for index, path in enumerate(tqdm(paths, desc="detecting", unit="image")):
        try:
            image = read_image(path)
        except InputError as error:
            problems.append(str(error))
            continue
        detections = predictor(image)["instances"].to("cpu")
        results += _to_coco(detections, index + 1, path)
        shown = detections[detections.scores >= score_threshold]
        overlay = draw_overlay(image, shown, predictor.metadata)
        write_png(output_dir / "overlays" / names[index], overlay)
    with atomic_write(output_dir / "detections.json", "w") as file:
        json.dump(results, file, indent=1)
    return problems


def _overlay_names(paths: Sequence[Path]) -> list[str]:
    """A file name for each image; images of the same name in several folders stay apart."""
    stems = [path.stem for path in paths]
    return [
        f"{stem}.png" if stems.count(stem) == 1 else f"{stem}_{index + 1}.png"
        for index, stem in enumerate(stems)
    ]


def _to_coco(detections: Instances, image_id: int, path: Path) -> list[dict[str, Any]]:
    """Entries of COCO's result format, with the file's name added; categories count from 1."""
    entries = []
    corners = detections.pred_boxes.tensor.tolist()
    for (x1, y1, x2, y2), score, category in zip(
        corners, detections.scores.tolist(), detections.pred_classes.tolist(), strict=True
    ):
        entries.append(
            {
                "image_id": image_id,
                "file_name": str(path),
                "category_id": category + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }
        )
    return entries
