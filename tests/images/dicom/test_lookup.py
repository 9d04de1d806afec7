import numpy as np
import pytest
from image_files import DEEP, PIXELS, dicom_file, item, radiograph, word

from medmask.errors import InputError
from medmask.images import read_image

LEVELS = np.random.default_rng(3).permutation(4096)


def stretched(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return (values - values.min()) * 255 / (values.max() - values.min())


def with_table(path, table, pixels=DEEP, **changes):
    """A file with that VOI table and no other transform."""
    elements = radiograph()
    for tag in (0x00280120, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x52009229):
        del elements[tag]
    elements |= {0x00283010: ("SQ", item(table)), PIXELS: ("OW", pixels.tobytes())}
    elements |= {int(tag[1:], 16): value for tag, value in changes.items()}
    path.write_bytes(dicom_file(elements))
    return path


@pytest.mark.parametrize(
    ("bits", "data"),
    [
        (16, ("OW", LEVELS.astype("<u2").tobytes())),
        (12, ("US", LEVELS.astype("<u2").tobytes())),
        (16, ("SS", LEVELS.astype("<u2").tobytes())),
        (8, ("OW", (LEVELS // 16).astype("<u1").tobytes())),
        (8, ("OB", (LEVELS // 16).astype("<u1").tobytes())),
        (8, ("US", (LEVELS // 16).astype("<u1").tobytes())),
        (8, ("OW", (LEVELS // 16).astype("<u2").tobytes())),
    ],
)
def test_table_data_come_as_words_or_packed_bytes(tmp_path, bits, data):
    table = {0x00283002: ("US", word(4096, 0, bits)), 0x00283006: data}
    image = read_image(with_table(tmp_path / "scan.dcm", table))
    levels = LEVELS // 16 if bits == 8 else LEVELS
    np.testing.assert_allclose(image[:, :, 0], stretched(levels[DEEP]), atol=1e-3)


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize("first", [0, -2048])
def test_first_value_has_the_sign_of_the_pixels(tmp_path, vr, first):
    pixels = (DEEP.astype(int) + first).astype(np.int16)
    table = {
        0x00283002: (vr, word(4096, first % 2**16, 16)),
        0x00283006: ("OW", LEVELS.astype("<u2").tobytes()),
    }
    path = with_table(
        tmp_path / "scan.dcm",
        table,
        pixels,
        x00280101=("US", word(16)),
        x00280102=("US", word(15)),
        x00280103=("US", word(1)),
    )
    np.testing.assert_allclose(read_image(path)[:, :, 0], stretched(LEVELS[DEEP]), atol=1e-3)


def test_item_without_a_table_is_not_given(tmp_path):
    for empty in ({}, {0x00283002: ("US", b""), 0x00283006: ("OW", b"")}):
        image = read_image(with_table(tmp_path / "scan.dcm", empty, **window(2000, 1001)))
        expected = stretched(np.clip(DEEP, 1499.5, 2499.5))
        np.testing.assert_allclose(image[:, :, 0], expected, atol=1e-3)


@pytest.mark.parametrize(
    ("descriptor", "data", "name"),
    [
        (word(4096, 0), bytes(8192), "LUT Descriptor"),
        (word(4096, 0, 40), bytes(8192), "LUT Descriptor"),
        (word(4096, 0, 16), bytes(8000), "LUT Data"),
        (word(4096, 0, 16), bytes(4096), "LUT Data"),
    ],
)
def test_faulty_table_is_named(tmp_path, descriptor, data, name):
    table = {0x00283002: ("US", descriptor), 0x00283006: ("OW", data)}
    with pytest.raises(InputError, match=rf"scan\.dcm: the element {name}"):
        read_image(with_table(tmp_path / "scan.dcm", table))


def window(center: float, width: float, function: str = "") -> dict[str, tuple[str, bytes]]:
    values = {0x00281050: ("DS", center), 0x00281051: ("DS", width), 0x00281056: ("CS", function)}
    return {f"x{tag:08X}": (vr, str(value).encode()) for tag, (vr, value) in values.items()}


FLAT_TABLE = {0x00283002: ("US", word(4096, 0, 16)), 0x00283006: ("OW", bytes(8192))}


@pytest.mark.parametrize(
    "changes",
    [
        window(1000000, 10),
        window(-90000, 10, "SIGMOID"),
        window(9000, 900, "SIGMOID"),
        {"x00281053": ("DS", b"0")},
        {"x00280120": ("US", word(0)), "x00280121": ("US", word(4095))},
        {"x00280120": ("US", word(1)), "x00280121": ("US", word(4095))},
        {"x00283010": ("SQ", item(FLAT_TABLE))},
    ],
)
def test_transforms_that_hide_all_pixels_are_refused(tmp_path, changes):
    with pytest.raises(InputError, match=r"scan\.dcm shows nothing of its pixels"):
        read_image(with_table(tmp_path / "scan.dcm", {}, **changes))


def test_uniform_pixels_stay_legal(tmp_path):
    pixels = np.full_like(DEEP, 700)
    path = with_table(tmp_path / "scan.dcm", {}, pixels, **window(1000000, 10))
    assert not read_image(path).any()


def test_wide_window_shows_what_is_there(tmp_path):
    image = read_image(with_table(tmp_path / "scan.dcm", {}, **window(2000, 1000000)))
    np.testing.assert_allclose(image[:, :, 0], stretched(DEEP), atol=1e-3)
