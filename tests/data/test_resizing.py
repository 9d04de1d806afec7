import numpy as np
import pytest

from medmask.data.resizing import SmoothResizeTransform


@pytest.mark.parametrize("new_size", [(75, 60), (290, 230), (411, 333)])
def test_float_images_are_resized_like_8_bit_ones(new_size):
    image = np.random.default_rng(0).integers(0, 256, (300, 240, 3), dtype=np.uint8)
    resize = SmoothResizeTransform(300, 240, *new_size)
    of_bytes = resize.apply_image(image).astype(np.float32)
    of_floats = resize.apply_image(image.astype(np.float32))
    assert of_floats.dtype == np.float32
    # within the rounding of the 8-bit path, which is done once a direction
    np.testing.assert_allclose(of_floats, of_bytes, atol=1.01)
