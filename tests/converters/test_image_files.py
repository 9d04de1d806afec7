"""One image of a data set: its pixel spacing, and what makes it unfit."""

import numpy as np
import pytest

from medmask.converters.contract import SourceImage
from medmask.converters.image_files import ImageTask, WrittenImage, write_image

PIXELS = np.arange(1200, dtype=np.uint16).reshape(40, 30)


@pytest.fixture
def write(tmp_path, write_dicom):
    def write(
        pixels: np.ndarray = PIXELS, spacing: float | None = None, **elements
    ) -> WrittenImage:
        image = SourceImage(write_dicom(pixels, **elements), "a", pixel_spacing_mm=spacing)
        return write_image(ImageTask(image, tmp_path / "images", None, None, link=False))

    return write


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        ({"ImagerPixelSpacing": [0.094, 0.094], "PixelSpacing": [0.1, 0.1]}, 0.094),
        ({"PixelSpacing": [0.07, 0.07]}, 0.07),
        ({"PixelSpacing": [0.07, 0.07001]}, 0.07),
        ({"PixelSpacing": [0.07, 0.14]}, None),  # right along the rows alone
        ({"ImagerPixelSpacing": [0, 0]}, None),
        ({}, None),
    ],
    ids=range(6),
)
def test_the_header_tells_the_pixel_spacing(write, elements, spacing):
    written = write(**elements)
    assert written.error is None
    assert written.pixel_spacing_mm == spacing


def test_the_set_knows_the_pixel_spacing_better(write):
    assert write(spacing=0.05, ImagerPixelSpacing=[0.094, 0.094]).pixel_spacing_mm == 0.05


@pytest.mark.parametrize("value", [0, 700])
def test_an_image_of_one_gray_level_is_refused(write, value):
    written = write(np.full((40, 30), value, np.uint16))
    assert "has the same gray level everywhere" in str(written.error)
