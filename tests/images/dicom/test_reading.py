import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, RLELossless

from medmask.errors import InputError
from medmask.images import count_frames, read_image, read_image_size
from medmask.images.dicom import read_dicom

PIXELS = np.random.default_rng(0).integers(0, 4096, (40, 50), dtype=np.uint16)


def _window(x: float, function: str, center: float, width: float) -> float:
    """One pixel into [0, 1], by the pseudocode of the standard (PS3.3 C.11.2.1.2.1, C.11.2.1.3)."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (x - center) / width))
    if function == "LINEAR":
        if x <= center - 0.5 - (width - 1) / 2:
            return 0
        if x > center - 0.5 + (width - 1) / 2:
            return 1
        return (x - (center - 0.5)) / (width - 1) + 0.5
    if x <= center - width / 2:
        return 0
    if x > center + width / 2:
        return 1
    return (x - center) / width + 0.5


def _to_255(values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return (values - values.min()) * 255 / (values.max() - values.min())


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_follow_the_standard(write_dicom, function, photometric):
    path = write_dicom(
        PIXELS,
        BitsStored=12,
        PhotometricInterpretation=photometric,
        RescaleSlope=2,
        RescaleIntercept=-100,
        WindowCenter=[4000, 1],  # of several windows the first counts
        WindowWidth=[3000, 2],
        VOILUTFunction=function,
    )
    rescaled = PIXELS.astype(np.float64) * 2 - 100
    shown = np.array([[_window(x, function, 4000, 3000) for x in row] for row in rescaled])
    expected = _to_255(-shown if photometric == "MONOCHROME1" else shown)
    image = read_image(path)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, np.stack([expected] * 3, axis=-1), atol=1e-3)


def test_gray_levels_of_more_bits_than_stored(write_dicom):
    """A viewer ignores the bits above; without a window the file is refused by name."""
    path = write_dicom(PIXELS, BitsStored=11)
    expected = _to_255(PIXELS & 2047)
    np.testing.assert_allclose(read_image(path)[..., 0], expected, atol=1e-3)
    match = (
        rf"{path} has gray levels up to {PIXELS.max()}, but its Bits Stored is 11, .* correct the"
    )
    with pytest.raises(InputError, match=match):
        read_image(path, apply_voi=False)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_without_a_window_the_values_are_stretched(write_dicom, dtype):
    pixels = (PIXELS // 16).astype(dtype)
    if dtype == np.int16:
        pixels -= 300
    image = read_image(write_dicom(pixels))
    np.testing.assert_allclose(image[:, :, 0], _to_255(pixels), atol=1e-4)


def test_empty_elements_mean_not_given(write_dicom):
    path = write_dicom(
        PIXELS, RescaleSlope=None, RescaleIntercept=None, WindowCenter=None, WindowWidth=None
    )
    np.testing.assert_allclose(read_image(path)[:, :, 0], _to_255(PIXELS), atol=1e-4)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("padding", [{"PixelPaddingValue": 4095}, None])
def test_padding_is_black_and_does_not_count(write_dicom, photometric, padding):
    pixels = np.clip(PIXELS, 1000, 3000)
    pixels[:, :7] = 4090
    pixels[:, 6] = 4095
    if padding is None:
        padding = {"PixelPaddingValue": 4085, "PixelPaddingRangeLimit": 4095}
        if photometric == "MONOCHROME1":
            padding = {"PixelPaddingValue": 4095, "PixelPaddingRangeLimit": 4085}
    else:
        pixels[:, :7] = 4095
    path = write_dicom(pixels, PhotometricInterpretation=photometric, BitsStored=12, **padding)
    image = read_image(path)[:, :, 0]
    assert (image[:, :7] == 0).all()
    breast = _to_255(pixels[:, 7:])
    expected = 255 - breast if photometric == "MONOCHROME1" else breast
    np.testing.assert_allclose(image[:, 7:], expected, atol=1e-4)


def test_bits_above_bits_stored_are_ignored(write_dicom):
    overlaid = PIXELS.copy()
    overlaid[3:9] |= 0x8000
    image = read_image(write_dicom(overlaid, BitsStored=12))
    np.testing.assert_array_equal(image, read_image(write_dicom(PIXELS, BitsStored=12)))


def test_all_zero_image(write_dicom):
    image = read_image(write_dicom(np.zeros((5, 6), np.uint16), WindowCenter=10, WindowWidth=20))
    np.testing.assert_array_equal(image, np.zeros((5, 6, 3)))


@pytest.mark.parametrize("name", ["image.dcm", "a#1.dcm", "no suffix"])
def test_frames_are_named_by_number(write_dicom, name):
    path = write_dicom(np.stack([PIXELS, PIXELS[::-1]]), name=name)
    single = read_image(write_dicom(PIXELS, name="single.dcm"))
    assert count_frames(path) == 2
    for frame, expected in enumerate([single, single[::-1]]):
        np.testing.assert_array_equal(read_image(path, frame), expected)
        np.testing.assert_array_equal(read_image(f"{path}#{frame}"), expected)
        assert read_image_size(f"{path}#{frame}") == (40, 50)
        assert count_frames(f"{path}#{frame}") == 1


@pytest.mark.parametrize("read", [read_image, read_image_size])
def test_several_frames_are_refused_unless_one_is_named(write_dicom, read):
    path = write_dicom(np.stack([PIXELS, PIXELS]))
    with pytest.raises(InputError, match=r"image\.dcm holds 2 frames; .*image\.dcm#0"):
        read(path)
    for absent in (f"{path}#2", f"{write_dicom(PIXELS, name='single.dcm')}#1"):
        with pytest.raises(InputError, match=r"\.dcm has no frame [12]; it holds"):
            read(absent)
    with pytest.raises(InputError, match="frame 0 is asked for as well"):
        read(f"{path}#1", 0)


def test_the_only_frame_may_be_named(write_dicom):
    path = write_dicom(PIXELS)
    np.testing.assert_array_equal(read_image(path, 0), read_image(path))
    assert count_frames(path) == 1


@pytest.mark.parametrize("bits", [8, 16])
def test_table_of_4096_entries(write_dicom, bits):
    levels = np.random.default_rng(1).integers(0, 2**bits, 4096)
    table = Dataset()
    table.LUTDescriptor = [4096, 0, bits]
    table.LUTData = levels.astype("<u2").tobytes()
    path = write_dicom(
        PIXELS, BitsStored=12, VOILUTSequence=[table], RescaleSlope=1, RescaleIntercept=0
    )
    np.testing.assert_allclose(read_image(path)[:, :, 0], _to_255(levels[PIXELS]), atol=1e-4)


@pytest.mark.parametrize("compression", [RLELossless, JPEG2000Lossless])
def test_compressed_files(write_dicom, compression):
    if compression == JPEG2000Lossless:
        pytest.importorskip("openjpeg")
    path = write_dicom(PIXELS, BitsStored=12, compression=compression)
    assert pydicom.dcmread(path).file_meta.TransferSyntaxUID == compression
    np.testing.assert_array_equal(read_dicom(path), PIXELS)


def test_missing_decoder_names_the_package(write_dicom, monkeypatch):
    from pydicom.pixels.decoders import JPEG2000LosslessDecoder

    path = write_dicom(PIXELS, BitsStored=12, compression=RLELossless)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.save_as(path)
    monkeypatch.setattr(JPEG2000LosslessDecoder, "_available", {})
    with pytest.raises(InputError, match=r"JPEG 2000.*pip install pylibjpeg") as error:
        read_image(path)
    assert str(path) in str(error.value)


def test_cut_off_file_is_named(write_dicom):
    path = write_dicom(PIXELS)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError) as error:
        read_image(path)
    assert str(path) in str(error.value)


def test_mark_is_recognized_without_the_suffix(write_dicom):
    path = write_dicom(PIXELS, name="image")
    assert read_image(path).shape == (40, 50, 3)
    assert read_image_size(path) == (40, 50)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"WindowCenter": 5, "WindowWidth": 0}, "Window Width"),
    ],
)
def test_unusable_elements_are_named(write_dicom, elements, reason):
    with pytest.raises(InputError, match=reason):
        read_image(write_dicom(PIXELS, **elements))


@pytest.mark.parametrize(
    "elements",
    [
        {"PresentationIntentType": "FOR PROCESSING"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2.1"},  # Digital Mammography, For Processing
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"},  # Digital X-Ray, For Processing
    ],
)
def test_images_for_processing_are_read_with_one_warning(write_dicom, caplog, elements):
    path = write_dicom(PIXELS, **elements)
    for _ in range(2):
        np.testing.assert_allclose(read_image(path)[:, :, 0], _to_255(PIXELS), atol=1e-4)
    (warning,) = (record.getMessage() for record in caplog.records)
    assert str(path) in warning
    assert "FOR PROCESSING" in warning


def test_images_for_presentation_are_read_without_a_warning(write_dicom, caplog):
    read_image(write_dicom(PIXELS, PresentationIntentType="FOR PRESENTATION"))
    assert not caplog.records


def test_large_images_go_through_a_table(write_dicom):
    """From 2^16 pixels on, the transforms are worked out once for each level."""
    pixels = np.random.default_rng(2).integers(-2000, 2000, (300, 300), dtype=np.int16)
    path = write_dicom(pixels, WindowCenter=100, WindowWidth=2001, PixelPaddingValue=-1500)
    window = np.clip(pixels.astype(np.float64), -900.5, 1099.5)
    expected = np.where(pixels == -1500, 0, _to_255(window))
    np.testing.assert_allclose(read_image(path)[:, :, 0], expected, atol=1e-3)


def test_hidden_pixels_of_the_widest_range_are_refused(write_dicom):
    pixels = np.array([[-32768, 32767]] * 4, np.int16)
    with pytest.raises(InputError, match="shows nothing"):
        read_image(write_dicom(pixels, WindowCenter=1000000, WindowWidth=10))
