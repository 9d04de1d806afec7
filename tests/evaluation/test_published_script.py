from dataclasses import replace

import numpy as np
import pytest

from medmask.errors import InputError
from medmask.evaluation import EvaluationSettings, evaluate_detections
from medmask.evaluation.froc import froc_curve
from medmask.evaluation.matching import localize
from medmask.evaluation.report import format_table
from medmask.evaluation.settings import PUBLISHED_SCRIPT

SETTINGS = EvaluationSettings(hit_rule=PUBLISHED_SCRIPT, nms_iou=None, bootstrap=0)


def count_as_the_script_does(ground_truth, detections, threshold):
    """(lesions found, false positives) at a threshold, in shares of the image and lesion by lesion.

    Each lesion takes all detections of its image and class that hit it out of the list; those that
    are left at the end are false positives, but for those on an ignored region.
    """
    found, false_positives = 0, 0
    for image in range(ground_truth.num_images):
        size = ground_truth.image_sizes[image]
        for category in range(len(ground_truth.category_ids)):
            left = [
                (box[:2] + box[2:]) / 2 / size
                for box, score, where, what in zip(
                    detections.boxes,
                    detections.scores,
                    detections.image_indices,
                    detections.category_indices,
                    strict=True,
                )
                if where == image and what == category and score >= threshold
            ]
            own = (ground_truth.image_indices == image) & (
                ground_truth.category_indices == category
            )
            for box in ground_truth.boxes[own & ~ground_truth.is_crowd]:
                x, y = (box[:2] + box[2:]) / 2 / size
                w, h = (box[2:] - box[:2]) / size
                missing = [
                    (cx, cy)
                    for cx, cy in left
                    if not (x - w / 2 <= cx <= x + w / 2 and w - h / 2 <= cy <= y + h / 2)
                ]
                found += len(missing) < len(left)
                left = missing
            for x0, y0, x1, y1 in ground_truth.boxes[own & ground_truth.is_crowd] / np.tile(
                size, 2
            ):
                left = [c for c in left if not (x0 <= c[0] <= x1 and y0 <= c[1] <= y1)]
            false_positives += len(left)
    return found, false_positives


@pytest.mark.parametrize("seed", range(60))
def test_hits_are_those_of_the_script(random_case, seed):
    ground_truth, detections = random_case(seed)
    # Powers of two, so that shares of the image are exact.
    sizes = 2.0 ** np.random.default_rng(seed).integers(4, 7, (ground_truth.num_images, 2))
    ground_truth = replace(ground_truth, image_sizes=sizes)
    curve = froc_curve(localize(ground_truth, detections, hit_rule=PUBLISHED_SCRIPT))
    for threshold in [np.inf, *set(detections.scores)]:
        last = np.flatnonzero(curve.thresholds >= threshold)[-1]
        expected = count_as_the_script_does(ground_truth, detections, threshold)
        assert (curve.lesions_found[last], curve.false_positives[last]) == expected


def at(x, y, score=0.5):
    return (0, 0, x - 1, y - 1, x + 1, y + 1, score)


@pytest.mark.parametrize(
    ("center", "ours", "published"),
    [
        ((50, 90), True, True),
        ((50, 20), False, True),  # far above the lesion
        ((50, 9), False, False),  # above the range: 20 - 20 / 2 = 10
        ((50, 101), False, False),  # below the lesion
        ((61, 90), False, False),  # beside it
    ],
)
def test_boxes_far_above_a_lesion_are_hits(build_case, center, ours, published):
    lesion = (0, 0, 40, 80, 60, 100)
    ground_truth, detections = build_case(1, [lesion], [at(*center)])
    ground_truth = replace(ground_truth, image_sizes=np.array([[200.0, 200.0]]))
    for settings, is_hit in ((None, ours), (SETTINGS, published)):
        result = evaluate_detections(ground_truth, detections, settings)
        assert result.curve.lesions_found[-1] == is_hit
        assert result.curve.false_positives[-1] == (not is_hit)


def test_a_wide_lesion_near_the_top_cannot_be_hit(build_case):
    ground_truth, detections = build_case(1, [(0, 0, 40, 10, 100, 30)], [at(70, 20)])
    ground_truth = replace(ground_truth, image_sizes=np.array([[200.0, 200.0]]))
    assert evaluate_detections(ground_truth, detections, SETTINGS).sensitivity[-1] == 0
    assert evaluate_detections(ground_truth, detections).sensitivity[-1] == 1


def test_several_boxes_on_one_finding_are_not_suppressed(build_case):
    case = build_case(1, [(0, 0, 40, 80, 60, 100)], [at(150, 150, s / 10) for s in (7, 8, 9)])
    ground_truth = replace(case[0], image_sizes=np.array([[200.0, 200.0]]))
    assert evaluate_detections(ground_truth, case[1], SETTINGS).curve.false_positives[-1] == 3
    assert evaluate_detections(ground_truth, case[1]).curve.false_positives[-1] == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (None, False),
        (SETTINGS, "hits by the rule published_script"),
        (EvaluationSettings(iou_threshold=0.5), "hits from an IoU of 0.5 on"),
    ],
    ids=["ours", "published", "iou"],
)
def test_table_tells_of_another_rule_than_ours(build_case, settings, told):
    ground_truth, detections = build_case(1, [(0, 0, 40, 80, 60, 100)], [at(50, 90)])
    ground_truth = replace(ground_truth, image_sizes=np.array([[200.0, 200.0]]))
    table = format_table(evaluate_detections(ground_truth, detections, settings))
    assert told in table if told else "hits" not in table


@pytest.mark.parametrize("sizes", [None, np.array([[np.nan, 9.0], [8.0, 8.0]])], ids=["no", "part"])
def test_image_without_a_size_is_named(build_case, sizes):
    ground_truth, detections = build_case(2, [(0, 0, 0, 0, 4, 4)], [at(2, 2)])
    with pytest.raises(InputError, match="give width and height of image 100"):
        evaluate_detections(replace(ground_truth, image_sizes=sizes), detections, SETTINGS)


def test_no_lesion_needs_no_size(build_case):
    result = evaluate_detections(*build_case(1, [], [at(2, 2)]), SETTINGS)
    assert np.isnan(result.cpm)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hit_rule": "script"}, "must be one of .*published_script.*, got 'script'"),
        ({"hit_rule": PUBLISHED_SCRIPT}, "suppresses nothing: .*--nms-iou none"),
        ({"hit_rule": PUBLISHED_SCRIPT, "nms_iou": None, "iou_threshold": 0.5}, "centers alone"),
    ],
    ids=["unknown", "suppression", "iou"],
)
def test_settings_that_do_not_go_together_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        EvaluationSettings(**settings)
