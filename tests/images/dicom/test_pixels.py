import numpy as np
import pytest
from image_files import DEEP, PIXELS, dicom_file, radiograph, word

from medmask.errors import InputError
from medmask.images import count_frames, read_image, read_image_size

STORED = DEEP.tobytes()


@pytest.fixture
def write(tmp_path):
    def write(pixels=STORED, vr="OW", **changes):
        elements = radiograph() | {PIXELS: (vr, pixels)}
        elements |= {int(tag[1:], 16): value for tag, value in changes.items()}
        path = tmp_path / "scan.dcm"
        path.write_bytes(dicom_file(elements))
        return path

    return write


@pytest.mark.parametrize(
    "changes",
    [
        {"x00280010": ("US", word(39))},
        {"x00280010": ("US", word(1))},
        {"x00280010": ("US", word(41))},
        {"x00280010": ("US", word(80))},
        {"x00280011": ("US", word(27))},
        {"x00280011": ("US", word(29))},
        {"x00280100": ("US", word(8)), "x00280101": ("US", word(8)), "x00280102": ("US", word(7))},
        {"x00280100": ("US", word(32))},
        {"x00280008": ("IS", b"2")},
    ],
)
@pytest.mark.parametrize("read", [read_image, read_image_size, count_frames])
def test_data_must_fill_the_frames(write, read, changes):
    with pytest.raises(InputError, match=r"scan\.dcm holds 2240 bytes of pixels, but"):
        read(write(**changes))


def test_more_frames_than_stated_are_refused(write):
    with pytest.raises(InputError, match="Number of Frames"):
        read_image(write(STORED * 3))


def test_data_may_be_filled_up(write):
    np.testing.assert_array_equal(read_image(write(STORED + bytes(30))), read_image(write()))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"x00280103": ("US", word(2))}, "Pixel Representation"),
        ({"x00280101": ("US", word(17))}, "Bits Stored"),
        ({"x00280102": ("US", word(15))}, "High Bit"),
        ({"x00280100": ("US", word(12))}, "Bits Allocated"),
        ({"x00280002": ("US", word(3))}, "Samples per Pixel"),
        ({"x00280004": ("CS", b"NONSENSE"), "x00280002": ("US", word(3))}, "Photometric"),
    ],
)
def test_contradictions_are_named(write, changes, name):
    with pytest.raises(InputError, match=rf"scan\.dcm: the element {name}"):
        read_image(write(**changes))


def test_a_file_that_is_cut_off_has_no_size_either(write):
    path = write()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"scan\.dcm is cut off: .* copy it again"):
        read_image_size(path)


def test_float_pixels(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 28)).astype(np.float32)
    values[0, 0] = np.nan
    elements = radiograph()
    for tag in (PIXELS, 0x00280101, 0x00280102, 0x00280103, 0x00280120, 0x00281050, 0x00283010):
        del elements[tag]
    elements |= {0x00280100: ("US", word(32)), 0x7FE00008: ("OF", values.tobytes())}
    path = tmp_path / "scan.dcm"
    path.write_bytes(dicom_file(elements))
    low, high = np.nanmin(values), np.nanmax(values)
    expected = np.nan_to_num((values - low) * 255 / (high - low))
    np.testing.assert_allclose(read_image(path)[:, :, 0], expected, atol=1e-3)
