from dataclasses import replace

import numpy as np
import pytest

from medmask.errors import InputError
from medmask.evaluation import Detections, EvaluationSettings, GroundTruth, evaluate_detections
from medmask.evaluation.error_analysis import find_errors

TRUTH = GroundTruth(
    image_ids=(1, 2),
    category_ids=(1,),
    category_names=("lesion",),
    boxes=np.array([[10, 10, 30, 30], [50, 50, 60, 60], [10, 10, 20, 40], [0, 0, 90, 90.0]]),
    image_indices=np.array([0, 0, 1, 1]),
    category_indices=np.zeros(4, dtype=np.int64),
    is_crowd=np.array([False, False, False, True]),
    patients=("a", "b"),
    lateralities=("L", "R"),
)
FOUND = [
    # image, box, score
    (0, [12, 12, 28, 28], 0.9),  # a hit
    (0, [70, 10, 80, 20], 0.8),  # false
    (0, [70, 70, 80, 80], 0.6),  # false
    (0, [51, 51, 59, 59], 0.5),  # a hit below two false ones
    (1, [60, 60, 70, 70], 0.95),  # on the region to ignore
]


def detections(rows=FOUND):
    return Detections(
        boxes=np.array([box for _, box, _ in rows], dtype=np.float64).reshape(-1, 4),
        scores=np.array([score for *_, score in rows], dtype=np.float64),
        image_indices=np.array([image for image, *_ in rows], dtype=np.int64),
        category_indices=np.zeros(len(rows), dtype=np.int64),
    )


def told(findings):
    return [(f.kind, f.image, f.score) for f in findings]


def test_kinds_at_an_operating_point():
    assert told(find_errors(TRUTH, detections(), fpi=0.5)) == [
        ("hits", 0, 0.9),
        ("misses", 0, 0.5),
        ("misses", 1, None),
        ("false_positives", 0, 0.8),
    ]
    # all that is allowed are two false positives, below which the second lesion is found
    assert told(find_errors(TRUTH, detections(), fpi=1)) == [
        ("hits", 0, 0.9),
        ("hits", 0, 0.5),
        ("misses", 1, None),
        ("false_positives", 0, 0.8),
        ("false_positives", 0, 0.6),
    ]
    assert told(find_errors(TRUTH, detections([]), fpi=1)) == [
        ("misses", 0, None),
        ("misses", 1, None),
        ("misses", 0, None),
    ]
    with pytest.raises(InputError, match="operating points"):
        find_errors(TRUTH, detections(), fpi=-1)


def test_findings_of_several_classes_say_which():
    truth = replace(
        TRUTH,
        category_ids=(1, 2),
        category_names=("mass", "cyst"),
        boxes=TRUTH.boxes[:2],
        image_indices=np.zeros(2, dtype=np.int64),
        category_indices=np.array([0, 1]),
        is_crowd=np.zeros(2, dtype=bool),
    )
    # the first is on the mass and called a cyst
    found = replace(detections(FOUND[:1]), category_indices=np.array([1]))
    findings = find_errors(truth, found, fpi=1)
    assert [(f.kind, f.category) for f in findings] == [
        ("misses", 0),
        ("misses", 1),
        ("false_positives", 1),
    ]


@pytest.mark.parametrize("fpi", [0.2, 0.5, 1.0, 2.0])
def test_hits_are_those_of_the_evaluation(fpi):
    random = np.random.default_rng(3)
    corners = random.uniform(0, 90, (40, 2))
    boxes = np.concatenate([corners, corners + 10], axis=1)
    rows = [
        (i % 2, box, score)
        for i, (box, score) in enumerate(zip(boxes, random.uniform(0, 1, 40), strict=True))
    ]
    findings = find_errors(TRUTH, detections(rows), fpi)
    settings = EvaluationSettings(operating_points=(fpi,), bootstrap=0)
    result = evaluate_detections(TRUTH, detections(rows), settings)
    hits = sum(finding.kind == "hits" for finding in findings)
    assert hits / 3 == pytest.approx(result.sensitivity[0])
    assert sum(f.kind == "false_positives" for f in findings) <= 2 * fpi
