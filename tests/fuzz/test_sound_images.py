"""Sound images of many kinds are read as Pillow reads them: nothing sound is refused."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from campaign import RIGHT, run_campaign, seeds
from PIL import Image, ImageFile

from medmask.images import read_image

KINDS = {
    "png": {"compress_level": (0, 1, 6, 9), "optimize": (False, True)},
    "jpg": {
        "quality": (5, 50, 75, 95, 100),
        "subsampling": (0, 1, 2),
        "progressive": (False, True),
        "optimize": (False, True),
        "restart_marker_blocks": (0, 1, 7),
    },
    "tif": {"compression": ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")},
}


def make_pixels(random_state: random.Random, shape: tuple[int, ...]) -> np.ndarray:
    """Noise, a ramp, one value, or little noise on a dark ground, as mammograms have."""
    draw = np.random.default_rng(random_state.getrandbits(32))
    kind = random_state.randrange(4)
    if kind == 0:
        return draw.integers(0, 256, shape, dtype=np.uint8)
    if kind == 1:
        return (np.arange(np.prod(shape)) // 7 % 256).astype(np.uint8).reshape(shape)
    if kind == 2:
        return np.full(shape, random_state.randrange(256), np.uint8)
    pixels = np.zeros(shape, np.uint8)
    pixels[: shape[0] // 2] = draw.integers(0, 40, pixels[: shape[0] // 2].shape)
    return pixels


def try_case(random_state: random.Random, path: Path) -> str:
    suffix = random_state.choice(sorted(KINDS))
    height, width = (random_state.choice((1, 2, 7, 8, 16, 33, 100, 300)) for _ in range(2))
    bands = random_state.choice(((), (3,)))
    options = {name: random_state.choice(values) for name, values in KINDS[suffix].items()}
    pixels = make_pixels(random_state, (height, width, *bands))
    file = io.BytesIO()
    Image.fromarray(pixels).save(
        file, {"jpg": "JPEG", "png": "PNG", "tif": "TIFF"}[suffix], **options
    )
    path = path.with_suffix(f".{suffix}")
    path.write_bytes(file.getvalue())
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    try:
        read = read_image(path)
    except Exception as error:
        raise AssertionError(f"{suffix} {pixels.shape} {options}: {error}") from error
    assert np.array_equal(read, expected), f"{suffix} {pixels.shape} {options}"
    return RIGHT


@seeds
def test_sound_images(seeds, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 2**22)  # or some small files cannot be written
    run_campaign(seeds, lambda random_state: try_case(random_state, tmp_path / "image"))


def test_deep_images(tmp_path):
    draw = np.random.default_rng(0)
    for size in range(1, 120):
        pixels = draw.integers(0, 65536, (size, 37), dtype=np.uint16)
        for suffix in ("png", "tif"):
            path = tmp_path / f"image.{suffix}"
            Image.fromarray(pixels).save(path)
            low, high = int(pixels.min()), int(pixels.max())
            expected = (pixels - float(low)) / (high - low) * 255
            assert read_image(path)[:, :, 0] == pytest.approx(expected, abs=1e-3), size


@pytest.mark.parametrize("last", [(85, 170, 0), (170, 85, 85), (85, 85, 85), (170, 170, 170)])
@pytest.mark.parametrize("suffix", sorted(KINDS))
def test_last_pixel_may_have_any_value(tmp_path, suffix, last):
    """Decoders mark the last pixel to see whether it comes."""
    path = tmp_path / f"image.{suffix}"
    Image.new("RGB", (8, 8), last).save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)
