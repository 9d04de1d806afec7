import numpy as np
import pytest
import torch
from PIL import Image

from medmask.errors import InputError
from medmask.experts.preprocessing import ExpertPreprocessing, check_crop_context, lesion_crop
from medmask.images import read_image

PLAIN = ExpertPreprocessing((32, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bicubic")


def gray(pixels):
    return np.repeat(np.asarray(pixels)[:, :, None], 3, axis=2)


def test_tall_image_is_kept_whole_and_padded_with_black():
    image = gray(np.full((64, 30), 255, np.uint8))
    values = PLAIN(image)
    assert values.shape == (3, 32, 32)
    assert PLAIN.fitted_size(64, 30) == (32, 15)
    torch.testing.assert_close(values[:, :, 8:23], torch.ones(3, 32, 15))
    assert torch.all(values[:, :, :8] == 0)
    assert torch.all(values[:, :, 23:] == 0)


def test_an_input_that_is_not_square():
    prepare = ExpertPreprocessing((16, 32), (0.0,) * 3, (1.0,) * 3, "bilinear")
    values = prepare(gray(np.full((40, 40), 51, np.uint8)))
    assert values.shape == (3, 16, 32)
    torch.testing.assert_close(values[:, :, 8:24], torch.full((3, 16, 16), 0.2))


def test_mean_and_std_are_applied_to_the_padding_too():
    prepare = ExpertPreprocessing((8, 8), (0.5, 0.25, 0.0), (0.5, 0.25, 2.0), "bicubic")
    values = prepare(gray(np.full((8, 4), 255, np.uint8)))
    expected = torch.tensor([1.0, 3.0, 0.5])
    torch.testing.assert_close(values[:, 4, 4], expected)
    torch.testing.assert_close(values[:, 4, 0], torch.tensor([-1.0, -1.0, 0.0]))


def test_shrinking_is_antialiased():
    stripes = np.zeros((320, 320), np.uint8)
    stripes[:, ::2] = 255
    torch.testing.assert_close(
        PLAIN(gray(stripes)), torch.full((3, 32, 32), 0.5), atol=0.02, rtol=0
    )


def test_overshoot_of_bicubic_interpolation_is_cut_off():
    edge = np.zeros((16, 16), np.uint8)
    edge[:, 8:] = 255
    values = PLAIN(gray(edge))
    assert values.min() == 0
    assert values.max() == 1


def test_gray_levels_of_deep_images_survive(tmp_path):
    """A ramp of 1024 levels over 32 columns' worth of input: 8 bits would leave 256."""
    ramp = np.linspace(0, 4095, 1024).astype(np.uint16).reshape(32, 32)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    values = PLAIN(read_image(tmp_path / "deep.png"))
    assert len(torch.unique(values[0])) > 1000
    expected = torch.from_numpy(ramp / 4095).float()
    torch.testing.assert_close(values[0], expected, atol=1e-3, rtol=0)


def test_read_only_images_are_taken():
    image = gray(np.zeros((8, 8), np.uint8))
    image.setflags(write=False)
    PLAIN(image)


def test_settings_of_open_clip():
    config = {
        "size": 224,
        "mode": "RGB",
        "mean": [0.48, 0.45, 0.4],
        "std": (0.26, 0.26, 0.27),
        "interpolation": "random",
        "resize_mode": "shortest",
    }
    prepare = ExpertPreprocessing.from_open_clip(config)
    assert prepare == ExpertPreprocessing(
        (224, 224), (0.48, 0.45, 0.4), (0.26, 0.26, 0.27), "bicubic"
    )
    described = prepare.describe(2.5)
    assert described["size"] == (224, 224)
    assert "padded" in described["aspect"]
    assert "2.5 times" in described["lesion_crop"]


IMAGE = np.arange(100 * 80).reshape(100, 80)


@pytest.mark.parametrize(
    ("box", "context", "rows", "columns"),
    [
        ((30, 40, 40, 60), 2, (30, 70), (15, 55)),  # a square round the middle
        ((0, 0, 10, 10), 2, (0, 20), (0, 20)),  # moved inside
        ((70, 90, 80, 100), 3, (70, 100), (50, 80)),
        ((20, 10, 60, 70), 1.5, (0, 90), (0, 80)),  # wider than the image
        ((5, 5, 5.2, 5.2), 1, (5, 6), (5, 6)),  # never empty
        ((30.4, 40.4, 40.4, 50.4), 1, (40, 50), (30, 40)),
    ],
)
def test_crop(box, context, rows, columns):
    expected = IMAGE[slice(*rows), slice(*columns)]
    assert np.array_equal(lesion_crop(IMAGE, box, context), expected)


@pytest.mark.parametrize("context", [0.5, -1, float("inf"), float("nan")])
def test_context_out_of_range(context):
    with pytest.raises(InputError, match="crop context is"):
        check_crop_context(context)
