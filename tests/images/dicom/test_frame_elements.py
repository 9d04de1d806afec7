import numpy as np
import pytest
from pydicom.dataset import Dataset

from medmask.errors import InputError
from medmask.images import read_image

FRAMES = np.random.default_rng(0).integers(0, 4096, (3, 20, 30), dtype=np.uint16)


def groups(center: float, slope: float = 1, padding: int | None = None) -> Dataset:
    window, transform, group = Dataset(), Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = center, 1001, "LINEAR"
    transform.RescaleSlope, transform.RescaleIntercept = slope, 0
    group.FrameVOILUTSequence = [window]
    group.PixelValueTransformationSequence = [transform]
    if padding is not None:
        group.PixelPaddingValue = padding
    return group


def shown(frame: np.ndarray, center: float, slope: float = 1) -> np.ndarray:
    low = center - 500.5
    values = np.clip(frame * float(slope), low, low + 1000)
    return (values - values.min()) * 255 / (values.max() - values.min())


@pytest.mark.parametrize("slope", [1, -1])
def test_shared_groups_count_for_every_frame(write_dicom, slope):
    center = slope * 2000
    path = write_dicom(
        FRAMES,
        BitsStored=12,
        WindowCenter=10,  # the groups go before the file's own
        WindowWidth=10,
        SharedFunctionalGroupsSequence=[groups(center, slope)],
    )
    for frame in range(3):
        expected = shown(FRAMES[frame], center, slope)
        np.testing.assert_allclose(read_image(path, frame)[:, :, 0], expected, atol=1e-3)


def test_groups_of_a_frame_go_before_shared_ones(write_dicom):
    centers = (1000, 2000, 3000)
    path = write_dicom(
        FRAMES,
        BitsStored=12,
        SharedFunctionalGroupsSequence=[groups(500)],
        PerFrameFunctionalGroupsSequence=[groups(center) for center in centers],
    )
    for frame, center in enumerate(centers):
        image = read_image(f"{path}#{frame}")[:, :, 0]
        np.testing.assert_allclose(image, shown(FRAMES[frame], center), atol=1e-3)


def test_padding_in_a_group(write_dicom):
    frames = FRAMES.clip(1000, 3000)
    frames[:, :5] = 0
    path = write_dicom(
        frames, BitsStored=12, PerFrameFunctionalGroupsSequence=[groups(2000, padding=0)] * 3
    )
    image = read_image(path, 1)[:, :, 0]
    assert (image[:5] == 0).all()
    np.testing.assert_allclose(image[5:], shown(frames[1, 5:], 2000), atol=1e-3)


def test_table_in_a_group(write_dicom):
    levels = np.random.default_rng(1).permutation(4096).astype("<u2")
    table, voi, group = Dataset(), Dataset(), Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], levels.tobytes()
    voi.VOILUTSequence = [table]
    group.FrameVOILUTSequence = [voi]
    path = write_dicom(FRAMES, BitsStored=12, SharedFunctionalGroupsSequence=[group])
    expected = levels[FRAMES[2]].astype(np.float64)
    expected = (expected - expected.min()) * 255 / (expected.max() - expected.min())
    np.testing.assert_allclose(read_image(path, 2)[:, :, 0], expected, atol=1e-3)


def test_groups_of_too_few_frames_are_named(write_dicom):
    path = write_dicom(FRAMES, PerFrameFunctionalGroupsSequence=[groups(500)])
    with pytest.raises(InputError, match=r"Per-Frame Functional Groups .* none for frame 2"):
        read_image(path, 2)
