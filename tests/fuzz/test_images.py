"""Damaged images: right pixels or one sentence that names the file, and nothing else."""

import random

import numpy as np
from campaign import REFUSED, RIGHT, run_campaign, seeds
from image_files import (
    DEEP,
    PIXELS,
    compressed_files,
    damage_elements,
    dicom_file,
    radiograph,
    raster_files,
)
from isolation import call
from mutations import damage_bytes

from medmask.errors import InputError
from medmask.images import count_frames, read_image, read_image_size, stretch_to_255

READABLE = "readable"
MEMORY_MIB = 700.0
SECONDS = 10.0


def _read(path):
    """Sizes and pixels by all public readers; the size reader may refuse only what all refuse."""
    try:
        size = read_image_size(path)
    except InputError as error:
        size = str(error)
    count = count_frames(path)
    return size, count, read_image(path)


def _read_sound(path, files: list[bytes]) -> None:
    """Read the files that are still sound, which also imports what the children need."""
    for content in files:
        path.write_bytes(content)
        assert _read(path)[:2] == (DEEP.shape, 1)


def _try(path, original: np.ndarray, *, exact: bool = False, blank: bool = True) -> str:
    """Read a file in a child.

    Args:
        path: the damaged file.
        original: the pixels of the sound one, (H, W) or (H, W, 3).
        exact: whether the format's checksums make other pixels a fault.
        blank: whether damage can have put zeros in the place of all pixels.
    """
    outcome = call(_read, path, seconds=SECONDS, memory_mib=MEMORY_MIB)
    assert "Traceback" not in outcome.errors, outcome.describe()
    if outcome.is_refused:
        assert str(path) in outcome.error, outcome.describe()
        assert "\n" not in outcome.error, outcome.describe()
        return REFUSED
    assert outcome.is_accepted, outcome.describe()
    size, count, image = outcome.value
    assert count == 1
    assert image.shape == (*size, 3), (size, image.shape)
    assert image.dtype in (np.uint8, np.float32)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 255
    assert blank or image.any(), "blank"
    expected = original if original.dtype == np.uint8 else stretch_to_255(original)
    expected = expected if expected.ndim == 3 else expected[:, :, None]
    if image.shape[:2] == expected.shape[:2] and np.allclose(image, expected, atol=1e-3):
        return RIGHT
    assert not exact, "other pixels than before"
    return READABLE


@seeds
def test_damaged_rasters(tmp_path, seeds):
    files = raster_files()

    def case(random_state: random.Random) -> str:
        name = random_state.choice(list(files))
        content, pixels = files[name]
        path = tmp_path / name
        path.write_bytes(damage_bytes(content, random_state))
        return _try(path, pixels, exact=name.endswith("png"))

    run_campaign(seeds, case)


@seeds
def test_damaged_elements(tmp_path, seeds):
    elements = radiograph()
    _read_sound(tmp_path / "scan.dcm", [dicom_file(elements)])

    def case(random_state: random.Random) -> str:
        path = tmp_path / "scan.dcm"
        damaged = damage_elements(elements, random_state)
        path.write_bytes(dicom_file(damaged, deflated=random_state.random() < 0.2))
        return _try(path, DEEP, blank=PIXELS not in damaged or damaged[PIXELS] != elements[PIXELS])

    run_campaign(seeds, case)


@seeds
def test_damaged_dicom_bytes(tmp_path, seeds):
    files = [dicom_file(radiograph()), dicom_file(radiograph(), deflated=True), *compressed_files()]
    _read_sound(tmp_path / "scan.dcm", files)

    def case(random_state: random.Random) -> str:
        path = tmp_path / "scan.dcm"
        path.write_bytes(damage_bytes(random_state.choice(files), random_state))
        return _try(path, DEEP)

    run_campaign(seeds, case)
