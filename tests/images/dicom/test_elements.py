from pathlib import Path

import pytest
from image_files import dicom_file, item, radiograph, word

from medmask.errors import InputError
from medmask.images import read_image, read_image_size
from medmask.images.dicom.elements import Elements

ROWS, PADDING, TABLE = 0x00280010, 0x00280120, 0x00283010
TRANSFORM = (0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00281056, TABLE, 0x52009229)
REQUIRED = (0x00280004, ROWS, 0x00280011, 0x00280100, 0x00280101, 0x00280103)
OPTIONAL = (0x00080016, 0x00080060, 0x00080068, 0x00280002, 0x00280008, 0x00280102, PADDING)


@pytest.fixture
def write(tmp_path):
    def write(**changes):
        elements = radiograph() | {int(tag[1:], 16): value for tag, value in changes.items()}
        path = tmp_path / "scan.dcm"
        path.write_bytes(dicom_file({tag: v for tag, v in elements.items() if v is not None}))
        return path

    return write


def key(tag: int) -> str:
    return f"x{tag:08X}"


@pytest.mark.parametrize("tag", [*TRANSFORM, *OPTIONAL], ids=hex)
def test_empty_is_not_given(write, tag):
    """An empty element and a missing one give the same pixels."""
    vr = radiograph()[tag][0]
    missing = read_image(write(**{key(tag): None}))
    assert (read_image(write(**{key(tag): (vr, b"")})) == missing).all()
    if vr in ("CS", "DS", "IS", "UI"):
        assert (read_image(write(**{key(tag): (vr, b"  ")})) == missing).all()


@pytest.mark.parametrize("read", [read_image, read_image_size])
@pytest.mark.parametrize(
    "value",
    [
        None,
        ("US", b""),
        ("LO", b"ab"),
        ("US", word(40, 40)),
        ("SQ", b""),
        ("DS", b"nan"),
        ("FD", bytes(8)),
    ],
)
def test_faulty_size_is_named_by_both_readers(write, read, value):
    with pytest.raises(InputError, match=r"scan\.dcm: the element Rows \(0028,0010\)"):
        read(write(**{key(ROWS): value}))


@pytest.mark.parametrize("tag", REQUIRED, ids=hex)
def test_what_is_required_is_named(write, tag):
    with pytest.raises(InputError, match=r"scan\.dcm: the element .* is missing or empty"):
        read_image(write(**{key(tag): (radiograph()[tag][0], b"")}))


@pytest.mark.parametrize("tag", [*REQUIRED[1:], PADDING, 0x00281053, 0x00280008], ids=hex)
@pytest.mark.parametrize("value", [("LO", b"ab"), ("US", word(40, 40, 40)), ("SQ", item({}))])
def test_numbers_must_be_one_number(write, tag, value):
    elements = {key(0x52009229): None, key(tag): value}
    with pytest.raises(InputError, match=rf"scan\.dcm: the element .*\({tag >> 16:04X},"):
        read_image(write(**elements))


def test_digits_as_text_are_a_number(write):
    as_text = read_image(write(**{key(PADDING): ("LO", b"0")}))
    assert (as_text == read_image(write())).all()


def test_error_does_not_quote_at_length(write):
    path = write(**{key(0x00281056): ("LO", b"x" * 200), key(TABLE): None})
    with pytest.raises(InputError) as error:
        read_image(path)
    assert len(str(error.value)) < len(str(path)) + 300


def test_words_are_taken_modulo_2_to_16():
    from pydicom import Dataset

    dataset = Dataset()
    dataset.add_new(0x00280120, "SS", -1)
    dataset.add_new(0x00280121, "US", 63536)
    elements = Elements(Path("scan.dcm"), dataset)
    assert elements.word("PixelPaddingValue", signed=False) == 65535
    assert elements.word("PixelPaddingRangeLimit", signed=True) == -2000
    assert elements.word("SmallestImagePixelValue", signed=True) is None


@pytest.mark.parametrize(
    "value", [("SQ", item({})), ("SQ", item({}) * 2), ("LO", b"ab\\2"), ("UN", b"")]
)
@pytest.mark.parametrize("tag", [0x00281050, 0x00281051], ids=hex)
def test_first_number_must_be_one(write, tag, value):
    elements = {key(TABLE): None, key(tag): value}
    if value[1]:
        with pytest.raises(InputError, match=r"scan\.dcm: the element Window"):
            read_image(write(**elements))
    else:
        read_image(write(**elements))
