"""The same counts as the package coco-froc-analysis (0.0.29), where its conventions and ours meet.

Only by the center rule: its IoU rule gives hits a higher cost than misses. And they differ in four
points, which the files below avoid or the tests undo:
- it counts a second hit on a lesion as a false positive;
- it fails on detections in images without a lesion;
- it counts detections that score above a threshold, not at it;
- it takes every pair of a lesion and a detection that its assignment returns for a hit, also pairs
  that do not overlap (its Hungarian solver pairs whatever is left, at a cost of a million).
"""

import json

import numpy as np
import pytest

from medmask.evaluation import read_detections, read_ground_truth
from medmask.evaluation.froc import froc_curve
from medmask.evaluation.matching import localize

peer_curve = pytest.importorskip("froc_analysis.froc_curve")
peer_stats = pytest.importorskip("froc_analysis.froc_stats")

IMAGES = 12


@pytest.fixture
def reject_pairs_without_overlap(monkeypatch):
    """Let the peer's assignment return only the pairs that it marked as hits."""
    solve = peer_stats.linear_sum_assignment

    def solve_and_reject(cost):
        rows, columns = solve(cost)
        hits = cost[rows, columns] < 1e6
        return rows[hits], columns[hits]

    monkeypatch.setattr(peer_stats, "linear_sum_assignment", solve_and_reject)


def write_files(folder, seed: int, hits_first: bool):
    """One to three lesions that do not overlap on each image; hits and misses with unique scores.

    Each lesion is hit at most once. With ``hits_first`` each lesion is hit, and by a higher score
    than that of any miss in its image.
    """
    random = np.random.default_rng(seed)
    lesions, detections = [], []
    for image in range(IMAGES):
        count = int(random.integers(1, 4))
        for slot in range(count):
            x, y = 200 * slot + random.uniform(0, 50), random.uniform(0, 300)
            w, h = random.uniform(30, 90, 2)
            lesions.append((image, [x, y, w, h]))
            if hits_first or random.random() < 0.7:
                moved = [x + random.uniform(-0.3, 0.3) * w, y + random.uniform(-0.3, 0.3) * h]
                score = random.uniform(0.6, 1) if hits_first else random.random()
                detections.append((image, [*moved, w, h], score))
        for _ in range(int(random.integers(0, 6))):
            x, y = random.uniform(0, 500, 2)
            score = random.uniform(0, 0.6) if hits_first else random.random()
            detections.append((image, [x, y + 600, *random.uniform(10, 90, 2)], score))
    truth = {
        "images": [{"id": i, "width": 1200, "height": 1200} for i in range(IMAGES)],
        "categories": [{"id": 1, "name": "malignant"}],
        "annotations": [
            {"id": i, "image_id": image, "category_id": 1, "bbox": box}
            for i, (image, box) in enumerate(lesions)
        ],
    }
    found = [
        {"image_id": image, "category_id": 1, "bbox": box, "score": float(score)}
        for image, box, score in detections
    ]
    paths = folder / "truth.json", folder / "detections.json"
    for path, content in zip(paths, (truth, found), strict=True):
        path.write_text(json.dumps(content))
    return paths


def assert_counts_agree(truth_file, detection_file):
    ground_truth = read_ground_truth(truth_file)
    detections = read_detections(detection_file, ground_truth)
    curve = froc_curve(localize(ground_truth, detections))
    assert curve.lesions_found[-1] > 0
    assert curve.false_positives[-1] > 0
    for score in np.linspace(0, 1, 21):
        peer = peer_curve.froc_point(str(truth_file), str(detection_file), score, False, None)[1]
        last = np.flatnonzero(curve.thresholds > score)[-1]
        assert curve.num_lesions == peer["n_lesions"]
        assert curve.num_images == peer["n_images"]
        assert (curve.lesions_found[last], curve.false_positives[last]) == (peer["LL"], peer["NL"])


@pytest.mark.parametrize("seed", range(4))
def test_same_counts_when_hits_outscore_misses(tmp_path, seed):
    assert_counts_agree(*write_files(tmp_path, seed, hits_first=True))


@pytest.mark.usefixtures("reject_pairs_without_overlap")
@pytest.mark.parametrize("seed", range(4))
def test_same_counts_on_any_scores_without_pairs_that_miss(tmp_path, seed):
    assert_counts_agree(*write_files(tmp_path, seed, hits_first=False))
