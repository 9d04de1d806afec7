import logging
import os

import numpy as np
import pytest
from pydicom.uid import BasicTextSRStorage

from medmask.errors import InputError
from medmask.inference import find_images


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.dcm", "notes.txt", "deep/c.JPG", "noname"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def names(paths, folder):
    return [path.relative_to(folder).as_posix() for path in paths]


def test_folder_gives_what_looks_like_an_image_in_order(folder):
    assert names(find_images([str(folder)]).paths, folder) == ["a.dcm", "b.png", "deep/c.JPG"]


def test_a_file_counts_whatever_its_name(folder):
    assert names(find_images([str(folder / "noname")]).paths, folder) == ["noname"]


def test_pattern_is_expanded_and_nothing_comes_twice(folder):
    inputs = [f"{folder}/*.png", f"{folder}/**/*.JPG", str(folder / "b.png"), str(folder)]
    assert names(find_images(inputs).paths, folder) == ["b.png", "deep/c.JPG", "a.dcm"]


@pytest.mark.parametrize("text", ["nowhere.png", "nowhere/*.png"])
def test_what_does_not_exist_is_named(text):
    with pytest.raises(InputError, match=r"input nowhere.* does not exist"):
        find_images([text])


def test_folder_without_images_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no image"):
        find_images([str(tmp_path)])


def test_dicom_of_any_name_is_taken_by_its_contents(tmp_path, caplog):
    for name in ("IM0001", "1.2.840.113619.2", "DICOMDIR", ".hidden", "scan.dic"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    for name in ("._scan.dcm", ".DS_Store", ".cache/a.png", "notes.txt", "README"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    with caplog.at_level(logging.WARNING):
        found = find_images([str(tmp_path)])
    assert names(found.paths, tmp_path) == ["1.2.840.113619.2", "IM0001", "scan.dic"]
    assert found.problems == []
    assert "passed over 2 files that are no image" in caplog.text
    assert "README" in caplog.text


def test_reports_beside_images_are_passed_over_in_folders(tmp_path, write_dicom, caplog):
    image = write_dicom(np.zeros((4, 4), np.uint8), name="study/image")
    report = write_dicom(
        np.zeros((4, 4), np.uint8), name="study/report.dcm", SOPClassUID=BasicTextSRStorage
    )
    assert find_images([str(tmp_path)]).paths == [image]
    assert "passed over 1 file that is no image" in caplog.text
    assert "report.dcm" in caplog.text
    assert find_images([str(report)]).paths == [report]


def test_what_cannot_be_looked_at_is_named(folder):
    os.mkfifo(folder / "pipe.png")
    (folder / "dangling.dcm").symlink_to(folder / "nowhere")
    (folder / "circle").symlink_to(folder / "circle")
    found = find_images([str(folder)])
    assert names(found.paths, folder) == ["a.dcm", "b.png", "deep/c.JPG"]
    assert len(found.problems) == 3
    for name, reason in [
        ("circle", "leads nowhere"),
        ("dangling", "leads nowhere"),
        ("pipe", "a pipe"),
    ]:
        assert any(name in problem and reason in problem for problem in found.problems)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folder_without_permission_is_named(folder):
    (folder / "deep").chmod(0)
    try:
        found = find_images([str(folder)])
    finally:
        (folder / "deep").chmod(0o755)
    assert names(found.paths, folder) == ["a.dcm", "b.png"]
    assert "deep may not be read" in found.problems[0]


def test_links_that_lead_back_end(folder):
    (folder / "deep" / "back").symlink_to(folder)
    (folder / "linked").mkdir()
    (folder / "linked" / "x.tif").touch()
    (folder / "deep" / "aside").symlink_to(folder / "linked")
    assert len(find_images([str(folder)]).paths) == 4


def test_pattern_may_match_folders(folder):
    assert names(find_images([f"{folder}/d*"]).paths, folder) == ["deep/c.JPG"]


def test_frames_are_kept(folder):
    (folder / "c#1.dcm").touch()
    inputs = [f"{folder}/a.dcm#2", f"{folder}/c#1.dcm"]
    assert names(find_images(inputs).paths, folder) == ["a.dcm#2", "c#1.dcm"]


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_named_input_must_be_a_file(tmp_path, kind):
    path = tmp_path / "scan.dcm"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"input .*scan\.dcm is (neither|a link)"):
        find_images([str(path)])
    good = tmp_path / "good.png"
    good.touch()
    found = find_images([str(path), str(good)])
    assert found.paths == [good]
    assert len(found.problems) == 1


def test_folder_with_problems_alone_names_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is neither a file"):
        find_images([str(tmp_path)])
