"""Sets of images of which every detection's outcome is known."""

import numpy as np
import pytest

from medmask.calibration import CalibrationSource
from medmask.evaluation import Detections, GroundTruth

BOX, ASIDE = (0.0, 0.0, 40.0, 40.0), (100.0, 100.0, 140.0, 140.0)


@pytest.fixture
def source() -> CalibrationSource:
    return CalibrationSource("model.pth", "ab" * 32, "config", "some set", "cd" * 32, "ef" * 32)


@pytest.fixture
def make_set():
    """A set from (image, is_hit, score) of detections; every image with a hit has a lesion."""

    def make(num_images, found, *, lesions=None, patients=None):
        lesions = sorted({image for image, hit, _ in found if hit}) if lesions is None else lesions
        ground_truth = GroundTruth(
            image_ids=tuple(range(num_images)),
            category_ids=(1,),
            category_names=("malignant",),
            boxes=np.array([BOX] * len(lesions)).reshape(-1, 4),
            image_indices=np.array(lesions, dtype=np.int64),
            category_indices=np.zeros(len(lesions), dtype=np.int64),
            is_crowd=np.zeros(len(lesions), dtype=bool),
            patients=tuple(range(num_images) if patients is None else patients),
            lateralities=(None,) * num_images,
        )
        return ground_truth, Detections(
            boxes=np.array([BOX if hit else ASIDE for _, hit, _ in found]).reshape(-1, 4),
            scores=np.array([score for *_, score in found], dtype=np.float64),
            image_indices=np.array([image for image, *_ in found], dtype=np.int64),
            category_indices=np.zeros(len(found), dtype=np.int64),
        )

    return make


@pytest.fixture
def make_random_set(make_set, chance):
    """A set of one detection an image, which lies on a lesion with the chance of its score."""

    def make(seed, num_images=300, per_patient=2):
        random = np.random.default_rng(seed)
        found = []
        for image in range(num_images):
            score = random.uniform(0.05, 0.6)
            found.append((image, bool(random.random() < chance(score)), score))
        patients = [f"patient {image // per_patient}" for image in range(num_images)]
        return make_set(num_images, found, patients=patients)

    return make


@pytest.fixture
def chance():
    """The probability of a lesion: logistic in the logit of the score, slope 2, intercept 1."""

    def of_score(score):
        odds = np.e * (score / (1 - score)) ** 2
        return odds / (1 + odds)

    return of_score
