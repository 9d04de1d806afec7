"""Manifests: what they name, and what is refused."""

from pathlib import Path

import pytest

from medmask.errors import InputError
from medmask.inference.manifests import _ROWS_AT_ONCE, Manifest


def described(manifest):
    return [(x.path, x.file_name, x.frame, x.image_id) for x in manifest]


def test_csv_names_images_relative_to_its_folder(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(
        "\ufeffpatient,path,frame,image_id\n"
        'p1,"a, b.dcm",,17\n'
        "p2,/elsewhere/c.dcm,2,\n"
        "p3,scan.dcm,3,x\n",
        encoding="utf-8",
    )
    images = Manifest(path)
    expected = [
        (tmp_path / "a, b.dcm", "a, b.dcm", None, "17"),
        (Path("/elsewhere/c.dcm"), "/elsewhere/c.dcm#2", 2, None),
        (tmp_path / "scan.dcm", "scan.dcm#3", 3, "x"),
    ]
    assert described(images) == expected
    assert described(images) == expected, "a list can be gone through again"


def test_two_ways_to_name_a_frame_are_one_image(tmp_path):
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "a.dcm").touch()
    (tmp_path / "odd#3").touch()
    path = tmp_path / "list.csv"
    path.write_text("path,frame\nscans/a.dcm#3,\nscans/a.dcm,3\nscans/a.dcm#3,3\nodd#3,\nno#3,\n")
    first, *others, odd, absent = Manifest(path).entries()
    assert [entry.key for entry in others] == [first.key] * 2
    assert first.image().key == first.key
    assert (first.path, first.frame, first.image().file_name) == ("scans/a.dcm", 3, "scans/a.dcm#3")
    assert (odd.path, odd.frame) == ("odd#3", None)
    assert (absent.path, absent.frame) == ("no#3", None)
    path.write_text("path,frame\nscans/a.dcm#3,2\n")
    with pytest.raises(InputError, match=r"list\.csv, row 2: .*names frame 3, but frame 2"):
        list(Manifest(path))


def test_parquet_gives_what_csv_gives(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"age": [1, 2], "path": ["a.dcm", "b.dcm"], "frame": [None, 4]})
    parquet.write_table(table, tmp_path / "list.parquet")
    assert described(Manifest(tmp_path / "list.parquet")) == [
        (tmp_path / "a.dcm", "a.dcm", None, None),
        (tmp_path / "b.dcm", "b.dcm#4", 4, None),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"has no column 'path' \(it has none\)"),
        (b"file\na.dcm\n", r"has no column 'path' \(it has file\)"),
        (b"path;x\na.dcm;1\n", r"it has path;x\): separate columns by commas"),
        (b"path,path\na.dcm,b.dcm\n", r"has several columns 'path'"),
        (b"path\n\n", r"lists no image: write one a row below"),
        (b"path,x\n,1\n", r"row 2: the column path is empty"),
        (b"x,path\n1\n", r"row 2: has 1 cell, but the first row has 2"),
        (b"path,frame\na.dcm,-1\n", r"row 2: frame is '-1', but frames are whole numbers"),
        (b"path,frame\na.dcm,x\n", r"row 2: frame is 'x', but frames are whole numbers"),
        (b"path\n\xff\xfe\n", "is not UTF-8 text"),
    ],
)
def test_faulty_csv_is_named_with_its_row(tmp_path, content, words):
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as error:
        list(Manifest(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_text_of_a_csv_file_in_another_encoding_is_named(tmp_path, encoding):
    path = tmp_path / "list.csv"
    path.write_text("path\nRöntgen.dcm\n", encoding=encoding)
    with pytest.raises(InputError, match=r"list\.csv is not UTF-8 text .*save it as CSV in UTF-8"):
        Manifest(path)


def test_what_is_no_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "list.parquet").write_bytes(b"path\na.dcm\n")
    with pytest.raises(InputError, match=r"list\.parquet cannot be read"):
        Manifest(tmp_path / "list.parquet")


def write_parquet(path, columns):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), path)
    return path


def test_text_of_parquet_that_is_not_unicode_is_named(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    content = b"a\xe9.png"
    buffers = [None, pyarrow.py_buffer(bytes([0, 0, 0, 0, 6, 0, 0, 0])), pyarrow.py_buffer(content)]
    column = pyarrow.Array.from_buffers(pyarrow.string(), 1, buffers)
    with pytest.raises(InputError, match=r"list\.parquet cannot be read \('utf-8'"):
        Manifest(write_parquet(tmp_path / "list.parquet", {"path": column}))


def test_whole_numbers_with_gaps_may_be_floats(tmp_path):
    columns = {"path": ["a.dcm", "b.dcm"], "frame": [2.0, None], "image_id": [float("nan"), 7.0]}
    images = Manifest(write_parquet(tmp_path / "list.parquet", columns))
    assert [(x.frame, x.image_id) for x in images] == [(2, None), (None, 7)]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"path": [1, 2]}, "column 'path' of type int64, which should be text"),
        ({"path": [b"a.dcm"]}, "column 'path' of type binary, which should be text"),
        ({"path": [["a.dcm"]]}, "column 'path' of type list"),
        ({"path": ["a.dcm"], "frame": [2.7]}, "row 1: frame is '2.7', but frames are whole"),
        ({"path": ["a.dcm"], "frame": [float("inf")]}, "row 1: frame is 'inf'"),
        ({"path": ["a.dcm"], "frame": [True]}, "column 'frame' of type bool"),
        ({"path": ["a.dcm"], "image_id": [2.7]}, "row 1: image_id is 2.7, but ids are text"),
        ({"path": ["a.dcm"], "image_id": [b"x"]}, "column 'image_id' of type binary"),
        ({"path": ["a.dcm", None]}, "row 2: the column path is empty"),
    ],
    ids=range(9),
)
def test_columns_of_other_types_are_named(tmp_path, columns, words):
    path = write_parquet(tmp_path / "list.parquet", columns)
    with pytest.raises(InputError, match=words) as error:
        list(Manifest(path))
    assert str(path) in str(error.value)


def test_rows_are_numbered_on_where_a_file_is_read_in_parts(tmp_path):
    paths = [f"{number}.dcm" for number in range(_ROWS_AT_ONCE + 2)]
    frames = [None] * (_ROWS_AT_ONCE + 1) + [3]
    path = write_parquet(tmp_path / "list.parquet", {"path": paths, "frame": frames})
    entries = list(Manifest(path).entries())
    assert [entry.path for entry in entries] == paths
    assert [entry.frame for entry in entries] == frames
    paths[-1] = None
    path = write_parquet(tmp_path / "faulty.parquet", {"path": paths})
    with pytest.raises(InputError, match=f"row {_ROWS_AT_ONCE + 2}: the column path is empty"):
        list(Manifest(path).entries())


def test_manifest_that_changes_is_named(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("path\na.dcm\n")
    images = Manifest(path)
    assert len(list(images)) == 1
    path.write_text("path\na.dcm\nb.dcm\n")
    with pytest.raises(InputError, match=r"list\.csv has changed since this run began"):
        list(images)


PLACES = ["a.dcm", "./b//c.dcm", "../up.dcm", "x/../y.dcm", "/else/./z.dcm", "//net/n.dcm", "d/"]


@pytest.mark.parametrize("folder", ["", "sub", "sub/../other"])
def test_entries_have_the_keys_of_their_images(tmp_path, monkeypatch, folder):
    (tmp_path / "sub").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    path = Path(folder, "list.csv")
    rows = [f"{place},{frame},{number}" for number, place in enumerate(PLACES) for frame in ("", 2)]
    path.write_text("\n".join(["path,frame,image_id", *rows]))
    entries = list(Manifest(path).entries())
    assert [entry.key for entry in entries] == [image.key for image in Manifest(path)]
    assert len({entry.key for entry in entries}) == len(rows)


def test_way_up_from_where_a_link_leads_is_another_one(tmp_path):
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    path = tmp_path / "list.csv"
    path.write_text("path\nlink/../x.png\nx.png\nreal/x.png\n")
    beside, here, named = Manifest(path).entries()
    assert beside.key == named.key != here.key
    assert beside.image().key == beside.key
    assert beside.image().absolute_path == str(tmp_path / "real" / "x.png")
