"""Random ground truth and detections on a coarse grid, where ties and borders abound."""

from collections.abc import Callable

import numpy as np
import pytest

from medmask.evaluation import Detections, GroundTruth

Case = tuple[GroundTruth, Detections]


@pytest.fixture
def build_case() -> Callable[..., Case]:
    """Build a case from rows of (image, category, x0, y0, x1, y1) and a score for detections."""

    def build(
        num_images: int,
        lesions: list[tuple],
        detections: list[tuple],
        crowd: list[bool] | None = None,
        patients: list | None = None,
        lateralities: list | None = None,
        num_categories: int = 1,
    ) -> Case:
        truth = np.array(lesions, dtype=np.float64).reshape(-1, 6)
        found = np.array(detections, dtype=np.float64).reshape(-1, 7)
        ground_truth = GroundTruth(
            image_ids=tuple(range(100, 100 + num_images)),
            category_ids=tuple(range(1, 1 + num_categories)),
            category_names=tuple(f"category {i}" for i in range(num_categories)),
            boxes=truth[:, 2:],
            image_indices=truth[:, 0].astype(np.int64),
            category_indices=truth[:, 1].astype(np.int64),
            is_crowd=np.array(crowd or [False] * len(truth), dtype=bool),
            patients=tuple(patients or [None] * num_images),
            lateralities=tuple(lateralities or [None] * num_images),
        )
        return ground_truth, Detections(
            boxes=found[:, 2:6],
            scores=found[:, 6],
            image_indices=found[:, 0].astype(np.int64),
            category_indices=found[:, 1].astype(np.int64),
        )

    return build


@pytest.fixture
def random_case(build_case) -> Callable[[int], Case]:
    """A case for each seed: 1 to 12 images, some without lesions or detections, 2 categories."""

    def make(seed: int) -> Case:
        random = np.random.default_rng(seed)
        num_images = int(random.integers(1, 13))
        num_lesions = int(random.integers(0, 2 * num_images))
        num_detections = int(random.integers(0, 8 * num_images))

        def rows(count: int) -> np.ndarray:
            corners = random.integers(0, 8, (count, 2))
            return np.column_stack(
                [
                    random.integers(num_images, size=count),
                    random.integers(2, size=count),
                    corners,
                    corners + random.integers(1, 6, (count, 2)),
                ]
            )

        scores = random.integers(0, 6, num_detections) / 5
        patients = random.integers(max(1, num_images // 2), size=num_images)
        return build_case(
            num_images,
            rows(num_lesions).tolist(),
            np.column_stack([rows(num_detections), scores]).tolist(),
            crowd=(random.random(num_lesions) < 0.15).tolist(),
            patients=[f"patient {p}" for p in patients],
            lateralities=["LR"[side] for side in random.integers(2, size=num_images)],
            num_categories=2,
        )

    return make
