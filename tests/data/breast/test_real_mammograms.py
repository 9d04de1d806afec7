"""Real films and digital mammograms, where they are; nothing of them may be passed on."""

from pathlib import Path

import numpy as np
import pytest

from medmask.data import build_test_augmentation
from medmask.data.breast import find_breast
from medmask.data.dataset_dicts import box_corners, read_dataset_image
from medmask.data.loaders import load_dataset_dicts
from medmask.data.mapper import augment_image
from medmask.errors import InputError

CUT = {"mdb110"}
"""Its box is the square around a circle, and reaches into the black beside the film."""


@pytest.fixture(params=["mini_mias_lesion_all", "inbreast_lesion_all"])
def dataset_dicts(request):
    try:
        return load_dataset_dicts(request.param)
    except InputError as error:
        pytest.skip(f"the data set is not here: {error}")


def test_crop_keeps_every_lesion_and_leaves_much_out(dataset_dicts):
    augmentation = build_test_augmentation(breast_crop=True, breast_window=True)
    shares, medians = [], []
    for dataset_dict in dataset_dicts:
        name = Path(dataset_dict["file_name"]).stem
        image = read_dataset_image(dataset_dict)
        assert find_breast(image) is not None, name
        result = augment_image(image, augmentation)
        x0, y0, x1, y1 = result.original_corners
        boxes = box_corners(dataset_dict["annotations"])
        is_inside = (boxes >= np.array([x0, y0, x0, y0]) - 1e-6).all()
        is_inside &= bool((boxes <= np.array([x1, y1, x1, y1]) + 1e-6).all())
        assert is_inside or name in CUT, name
        shares.append((x1 - x0) * (y1 - y0) / (image.shape[0] * image.shape[1]))
        medians.append(float(np.median(result.pixels[result.pixels > 0])))
    assert np.mean(shares) < 0.6
    assert 100 < np.median(medians) < 140
