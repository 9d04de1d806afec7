from pathlib import Path

import pytest

from medmask.errors import InputError
from medmask.images.frames import choose_frame, frame_path, split_frame_path


def test_frames_are_named_behind_the_file(tmp_path):
    (tmp_path / "scan.dcm").touch()
    named = frame_path(tmp_path / "scan.dcm", 3)
    assert named == tmp_path / "scan.dcm#3"
    assert split_frame_path(named) == (tmp_path / "scan.dcm", 3)
    assert split_frame_path(tmp_path / "scan.dcm") == (tmp_path / "scan.dcm", None)
    assert split_frame_path(str(tmp_path / "scan.dcm"), 2) == (tmp_path / "scan.dcm", 2)


def test_a_file_of_that_name_stands_for_itself(tmp_path):
    for name in ("scan.dcm", "scan.dcm#3"):
        (tmp_path / name).touch()
    assert split_frame_path(tmp_path / "scan.dcm#3") == (tmp_path / "scan.dcm#3", None)
    assert split_frame_path(tmp_path / "scan.dcm#3#1") == (tmp_path / "scan.dcm#3", 1)


@pytest.mark.parametrize("name", ["scan.dcm#", "scan.dcm#-1", "scan.dcm#x", "absent.dcm#1", "#1"])
def test_other_names_are_no_frames(tmp_path, name):
    (tmp_path / "scan.dcm").touch()
    assert split_frame_path(tmp_path / name) == (tmp_path / name, None)


def test_two_frames_contradict(tmp_path):
    (tmp_path / "scan.dcm").touch()
    with pytest.raises(InputError, match="names frame 1, but frame 2"):
        split_frame_path(tmp_path / "scan.dcm#1", 2)


def test_the_only_frame_need_not_be_named():
    path = Path("scan.dcm")
    assert choose_frame(path, None, 1) == choose_frame(path, 0, 1) == 0
    assert choose_frame(path, 2, 3) == 2
    with pytest.raises(InputError, match=r"scan\.dcm holds 3 frames"):
        choose_frame(path, None, 3)
    for frame in (3, -1):
        with pytest.raises(InputError, match="no frame"):
            choose_frame(path, frame, 3)
