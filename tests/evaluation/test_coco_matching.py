"""The matching and the precision from it against pycocotools, digit by digit."""

import contextlib
import io
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from medmask.evaluation import Detections, GroundTruth, average_precision
from medmask.evaluation.boxes import to_xywh
from medmask.evaluation.coco_matching import AREA_RANGES, IOU_THRESHOLDS

SIDES = {
    "grid": lambda random, shape: random.integers(1, 6, shape),  # ties and touching boxes abound
    "large": lambda random, shape: 16.0 * random.integers(1, 9, shape),  # 32 and 96 are borders
    "tiny": lambda random, shape: random.uniform(1e-6, 1e-3, shape),
    "any": lambda random, shape: random.uniform(0, 150, shape),
    "empty": lambda random, shape: random.integers(0, 3, shape),
}


def make_boxes(random: np.random.Generator, count: int, sides: str) -> np.ndarray:
    side = SIDES[sides](random, (count, 2)).astype(float)
    unit = float(np.median(side)) if count else 1.0
    corner = unit / 4 * random.integers(0, 9, (count, 2))
    return np.concatenate([corner, corner + side], axis=1)


def make_case(
    seed: int, sides: str, *, images: int, categories: int, lesions: int, detections: int
) -> tuple[GroundTruth, Detections]:
    """Half of the detections are moved lesions of their own image and category."""
    random = np.random.default_rng(seed)
    ground_truth = GroundTruth(
        image_ids=tuple(range(images)),
        category_ids=tuple(range(categories)),
        category_names=tuple(map(str, range(categories))),
        boxes=make_boxes(random, lesions, sides),
        image_indices=random.integers(images, size=lesions),
        category_indices=random.integers(categories, size=lesions),
        is_crowd=random.random(lesions) < 0.2,
        patients=(None,) * images,
        lateralities=(None,) * images,
    )
    boxes = make_boxes(random, detections, sides)
    image_indices = random.integers(images, size=detections)
    category_indices = random.integers(categories, size=detections)
    if lesions:
        near = np.flatnonzero(random.random(detections) < 0.5)
        lesion = random.integers(lesions, size=len(near))
        moved = ground_truth.boxes[lesion]
        size = moved[:, 2:] - moved[:, :2]
        moved[:, 2:] += size * random.choice([-0.25, 0, 0, 0.1, 0.5], (len(near), 2))
        boxes[near] = moved
        image_indices[near] = ground_truth.image_indices[lesion]
        category_indices[near] = ground_truth.category_indices[lesion]
    scores = random.choice([0, 0.25, 0.5, random.random(), 1], detections)
    return ground_truth, Detections(boxes, scores, image_indices, category_indices)


def as_coco(ground_truth: GroundTruth, boxes: GroundTruth | Detections) -> COCO:
    is_truth = isinstance(boxes, GroundTruth)
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i} for i in range(ground_truth.num_images)],
        "categories": [{"id": i} for i in range(len(ground_truth.category_ids))],
        "annotations": [
            {
                "id": i + 1,  # 0 means "unmatched"
                "image_id": int(boxes.image_indices[i]),
                "category_id": int(boxes.category_indices[i]),
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(is_truth and boxes.is_crowd[i]),
                "score": 0.0 if is_truth else float(boxes.scores[i]),
            }
            for i, box in enumerate(to_xywh(boxes.boxes).tolist())
        ],
    }
    coco.createIndex()
    return coco


def by_pycocotools(ground_truth: GroundTruth, detections: Detections) -> tuple:
    """The fields of :class:`medmask.evaluation.AveragePrecision`."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            as_coco(ground_truth, ground_truth), as_coco(ground_truth, detections), "bbox"
        )
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0]  # (IoU, recall, category, area range)

    def mean(part: np.ndarray) -> float:
        return float(np.mean(part[part > -1])) if (part > -1).any() else float("nan")

    every = precision[..., 0]
    by_category = tuple(mean(every[:, :, i]) for i in range(every.shape[2]))
    by_range = (mean(precision[..., i]) for i in (1, 2, 3))
    return mean(every), mean(every[0]), mean(every[5]), *by_range, by_category


@pytest.mark.parametrize("sides", SIDES)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    images=st.integers(1, 6),
    categories=st.integers(1, 3),
    lesions=st.integers(0, 20),
    detections=st.integers(0, 60),
)
def test_average_precision_is_that_of_pycocotools(sides, seed, **numbers):
    case = make_case(seed, sides, **numbers)
    np.testing.assert_equal(astuple(average_precision(*case)), by_pycocotools(*case))


@pytest.mark.parametrize("seed", range(3))
def test_only_the_highest_scores_of_an_image_and_category_count(seed):
    case = make_case(seed, "large", images=2, categories=2, lesions=30, detections=900)
    expected = by_pycocotools(*case)
    assert expected[0] > 0
    np.testing.assert_equal(astuple(average_precision(*case)), expected)


def test_no_lesion_in_the_whole_set():
    case = make_case(0, "any", images=3, categories=2, lesions=0, detections=20)
    result = average_precision(*case)
    np.testing.assert_equal(astuple(result), by_pycocotools(*case))
    assert np.isnan([result.ap, result.ap_large, *result.categories]).all()


def test_thresholds_and_area_ranges_are_those_of_pycocotools():
    params = COCOeval(iouType="bbox").params
    assert params.iouThrs.tolist() == IOU_THRESHOLDS.tolist()
    assert params.areaRng == AREA_RANGES.tolist()


def test_random_cases_hold_every_kind_of_match():
    """Without these, equal figures would say little."""
    values = set()
    for seed in range(20):
        case = make_case(seed, "large", images=3, categories=2, lesions=12, detections=60)
        result = average_precision(*case)
        values |= {result.ap, result.ap_small, result.ap_medium, result.ap_large}
        assert 0 < result.ap < 1
    assert len(values) > 50
