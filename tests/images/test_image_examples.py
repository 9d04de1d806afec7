"""Damaged and odd images that were collected beside the repository, with their right values."""

from pathlib import Path

import numpy as np
import pytest

from medmask.errors import InputError
from medmask.images import count_frames, read_image, read_image_size

CASES = Path(__file__).parents[4] / "shared" / "cases"
READABLE = {"grey8_orient6.tif", "dcm_synempty.dcm"}  # without a file of right values
FILES = sorted((CASES / "dicom").glob("*.dcm")) + sorted((CASES / "images").glob("*"))

pytestmark = pytest.mark.skipif(not FILES, reason="the collected images are not here")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_right_pixels_or_a_sentence(path):
    values = path.with_suffix(".npy")
    if values.exists() or path.name in READABLE:
        image = read_image(path, 0 if count_frames(path) > 1 else None)
        assert read_image_size(path, 0) == image.shape[:2]
        assert image.any()
        if values.exists():
            np.testing.assert_allclose(image[:, :, 0], np.load(values), atol=1e-3)
    else:
        with pytest.raises(InputError) as error:
            read_image(path)
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)
