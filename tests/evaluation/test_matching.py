import numpy as np
import pytest
from pycocotools import mask as coco_mask

from medmask.evaluation.matching import localize

LESION = (0, 0, 10, 10, 30, 20)  # image, category, box


def detection(center_x, center_y, score, image=0, category=0):
    return (image, category, center_x - 3, center_y - 3, center_x + 3, center_y + 3, score)


@pytest.mark.parametrize(
    ("center", "hit"),
    [
        ((20, 15), True),
        ((10, 10), True),
        ((30, 20), True),
        ((9.99, 15), False),
        ((20, 20.01), False),
    ],
)
def test_a_center_in_the_box_or_on_its_border_hits(build_case, center, hit):
    result = localize(*build_case(1, [LESION], [detection(*center, 0.7)]))
    assert result.lesion_scores.tolist() == [0.7 if hit else -np.inf]
    assert len(result.false_positive_scores) == (not hit)


def test_further_hits_are_neither_hits_nor_false_positives(build_case):
    hits = [detection(15, 15, 0.4), detection(20, 15, 0.9), detection(25, 15, 0.6)]
    result = localize(*build_case(1, [LESION], hits))
    assert result.lesion_scores.tolist() == [0.9]
    assert len(result.false_positive_scores) == 0


def test_one_detection_finds_all_lesions_around_its_center(build_case):
    around = (0, 0, 0, 0, 40, 40)
    result = localize(*build_case(1, [LESION, around], [detection(20, 15, 0.5)]))
    assert result.lesion_scores.tolist() == [0.5, 0.5]


@pytest.mark.filterwarnings("error")
def test_boxes_whose_areas_overflow_overlap_nothing(build_case):
    huge = (0, 0, 0, 0, 1e300, 1e300)
    result = localize(*build_case(1, [huge], [(*huge, 0.5)]), iou_threshold=0.5)
    assert result.lesion_scores.tolist() == [-np.inf]
    assert result.false_positive_scores.tolist() == [0.5]


@pytest.mark.parametrize("elsewhere", [{"image": 1}, {"category": 1}])
def test_hits_count_in_their_own_image_and_category_only(build_case, elsewhere):
    case = build_case(2, [LESION], [detection(20, 15, 0.5, **elsewhere)], num_categories=2)
    result = localize(*case)
    assert result.lesion_scores.tolist() == [-np.inf]
    assert result.false_positive_scores.tolist() == [0.5]


def test_crowd_regions_are_neither_lesions_nor_false_positives(build_case):
    region = (0, 0, 100, 100, 200, 200)
    found = [detection(150, 150, 0.9), detection(20, 15, 0.8), detection(300, 300, 0.7)]
    result = localize(*build_case(1, [region, LESION], found, crowd=[True, False]))
    assert result.lesion_scores.tolist() == [0.8]
    assert result.false_positive_scores.tolist() == [0.7]
    assert result.ignored.tolist() == [True, False, False]


def test_a_hit_on_a_lesion_within_a_crowd_region_counts(build_case):
    case = build_case(
        1, [(0, 0, 0, 0, 90, 90), LESION], [detection(20, 15, 0.8)], crowd=[True, False]
    )
    result = localize(*case)
    assert result.lesion_scores.tolist() == [0.8]
    assert not result.ignored.any()


@pytest.mark.parametrize("threshold", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(15))
def test_iou_rule_agrees_with_pycocotools(random_case, seed, threshold):
    ground_truth, detections = random_case(seed)
    result = localize(ground_truth, detections, iou_threshold=threshold)
    best = np.full(len(ground_truth.boxes), -np.inf)
    false_positives = []
    for d in range(len(detections)):
        same = np.flatnonzero(
            (ground_truth.image_indices == detections.image_indices[d])
            & (ground_truth.category_indices == detections.category_indices[d])
        )
        x0, y0, x1, y1 = detections.boxes[d]
        boxes = [[a, b, c - a, e - b] for a, b, c, e in ground_truth.boxes[same]]
        crowd = ground_truth.is_crowd[same].astype(int).tolist()
        overlap = (
            coco_mask.iou([[x0, y0, x1 - x0, y1 - y0]], boxes, crowd) if boxes else np.array([])
        )
        hit = same[np.asarray(overlap).reshape(-1) >= threshold]
        best[hit] = np.maximum(best[hit], detections.scores[d])
        if len(hit) == 0:
            false_positives.append(detections.scores[d])
    assert result.lesion_scores.tolist() == best[~ground_truth.is_crowd].tolist()
    assert result.false_positive_scores.tolist() == false_positives


def test_of_category_splits_lesions_and_false_positives(random_case):
    whole = localize(*random_case(5))
    parts = [whole.of_category(0), whole.of_category(1)]
    assert sorted(whole.lesion_scores) == sorted(np.concatenate([p.lesion_scores for p in parts]))
    assert sorted(whole.false_positive_scores) == sorted(
        np.concatenate([p.false_positive_scores for p in parts])
    )
    assert all((part.lesion_categories == i).all() for i, part in enumerate(parts))
    assert all(len(part.lesion_scores) for part in parts)
