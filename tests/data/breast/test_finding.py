import numpy as np
import pytest
from painted_mammograms import box_of, paint_mammogram

from medmask.data.breast import find_breast
from medmask.phantom.generator import generate_patient
from medmask.phantom.options import DOMAINS, PhantomParameters

SIZES = [(1280, 960), (333, 257), (97, 61), (640, 641), (3001, 2003)]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("background", [0, 25])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_box_is_that_of_the_painted_breast(height, width, background, side):
    """No label, strip or frame is in it, and it misses no more than a pixel of the small copy."""
    image, breast = paint_mammogram(height, width, side=side, background=background)
    found = find_breast(image)
    assert found.image_size == (height, width)
    coarseness = max(height, width) / 256
    np.testing.assert_allclose(found.box, box_of(breast), atol=1 + 2 * coarseness)


@pytest.mark.parametrize("scale", [1, 257, 1 / 255, -1e6])
def test_gray_levels_do_not_matter(scale):
    """Neither their range nor their type: 8 bits, 16 bits, floats in [0, 1]; a shift neither."""
    image, _ = paint_mammogram(500, 400, background=20)
    expected = find_breast(image)
    if scale < 0:
        changed = image.astype(np.float64) * -scale - 3e7
    else:
        changed = (image.astype(np.float64) * scale).astype(np.uint16 if scale > 1 else np.float32)
    assert find_breast(changed).box == expected.box
    colored = np.repeat(changed[..., None], 3, axis=2)
    assert find_breast(colored).box == expected.box


def test_pixels_that_are_none_are_background():
    image, breast = paint_mammogram(300, 240, artifacts=False)
    pixels = image.astype(np.float32)
    pixels[~breast] = np.nan
    found, expected = find_breast(pixels), find_breast(image)
    np.testing.assert_allclose(found.box, expected.box, atol=2)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((200, 150), np.uint8),
        np.full((200, 150), 4095, np.uint16),
        np.full((200, 150), np.nan, np.float32),
        np.zeros((1, 1), np.uint8),
        np.eye(200, dtype=np.uint8) * 255,
    ],
    ids=["black", "uniform", "nan", "one-pixel", "thread"],
)
def test_nothing_is_found_in_an_image_without_a_breast(image):
    assert find_breast(image) is None


def test_image_is_left_as_it_is():
    image, _ = paint_mammogram(300, 240)
    before = image.copy()
    find_breast(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("domain", DOMAINS)
def test_lesions_of_phantoms_are_in_the_breast(domain):
    """Labels, film borders, pectoral muscle and texture, as generated; boxes are known exactly."""
    lesions = 0
    for index in range(4):
        for image in generate_patient(PhantomParameters(), domain, "test", index).images:
            pixels = image.quantized(8)
            x0, y0, x1, y1 = find_breast(pixels).box
            assert (x1 - x0) * (y1 - y0) < 0.9 * pixels.size
            for x, y, width, height in (lesion.box for lesion in image.lesions):
                lesions += 1
                assert x0 <= x + 1
                assert y0 <= y + 1
                assert x + width <= x1 + 1
                assert y + height <= y1 + 1
    assert lesions >= 2
