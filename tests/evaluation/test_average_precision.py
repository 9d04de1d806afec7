import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from medmask.evaluation import average_precision
from medmask.evaluation.detection_files import detections_to_coco


def by_pycocotools(ground_truth, detections, folder):
    """AP, AP50 and AP75 of the case, written to files."""
    x0, y0, x1, y1 = ground_truth.boxes.T
    annotations = [
        {
            "id": i + 1,
            "image_id": ground_truth.image_ids[ground_truth.image_indices[i]],
            "category_id": ground_truth.category_ids[ground_truth.category_indices[i]],
            "bbox": [x0[i], y0[i], x1[i] - x0[i], y1[i] - y0[i]],
            "area": (x1[i] - x0[i]) * (y1[i] - y0[i]),
            "iscrowd": int(ground_truth.is_crowd[i]),
        }
        for i in range(len(x0))
    ]
    content = {
        "images": [{"id": i} for i in ground_truth.image_ids],
        "categories": [{"id": i} for i in ground_truth.category_ids],
        "annotations": annotations,
    }
    truth_file, detection_file = folder / "truth.json", folder / "detections.json"
    truth_file.write_text(json.dumps(content))
    detection_file.write_text(json.dumps(detections_to_coco(ground_truth, detections)))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_file))
        evaluation = COCOeval(truth, truth.loadRes(str(detection_file)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:3].tolist()


@pytest.mark.parametrize("seed", range(5))
def test_equals_pycocotools_on_files(random_case, tmp_path, seed, capsys):
    ground_truth, detections = random_case(seed)
    result = average_precision(ground_truth, detections)
    assert capsys.readouterr().out == ""
    expected = by_pycocotools(ground_truth, detections, tmp_path)
    assert [result.ap, result.ap50, result.ap75] == pytest.approx(expected)


def test_equal_scores_count_in_the_order_of_the_images_ids(build_case, tmp_path):
    """A hit on the first image of the file, and a false positive on the one of the lower id."""
    box = (0, 0, 9, 9)
    ground_truth, detections = build_case(2, [(0, 0, *box)], [(0, 0, *box, 0.5), (1, 0, *box, 0.5)])
    ground_truth = replace(ground_truth, image_ids=ground_truth.image_ids[::-1])
    result = average_precision(ground_truth, detections)
    assert result.ap == pytest.approx(0.5)
    assert result.ap == pytest.approx(by_pycocotools(ground_truth, detections, tmp_path)[0])


def test_first_and_last_lesion_count(build_case):
    """Ids that start at 0 lose a lesion in pycocotools."""
    boxes = [(0, 0, 0, 0, 9, 9), (1, 0, 5, 5, 20, 20)]
    result = average_precision(*build_case(2, boxes, [(*box, 0.9) for box in boxes]))
    assert (result.ap, result.ap50, result.ap75) == pytest.approx((1, 1, 1))


def test_nothing_detected_and_nothing_to_detect(build_case):
    box = (0, 0, 0, 0, 9, 9)
    assert average_precision(*build_case(1, [box], [])).ap == 0
    assert np.isnan(average_precision(*build_case(1, [], [(*box, 0.9)])).ap50)
