import pytest

from medmask.converters.raw_files import find_file, list_files
from medmask.errors import InputError


def test_hidden_files_are_passed_over_and_dead_links_told(tmp_path):
    for name in ("b/2.dcm", "b/._2.dcm", "a.txt", ".git/x.dcm", "a/1.dcm", "a/\u00e4 b.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a/alias.dcm").symlink_to(tmp_path / "b/2.dcm")
    (tmp_path / "b/gone.dcm").symlink_to(tmp_path / "nowhere")
    problems = []
    files = [str(path.relative_to(tmp_path)) for path in list_files(tmp_path, problems)]
    assert files == ["a.txt", "a/1.dcm", "a/alias.dcm", "a/\u00e4 b.dcm", "b/2.dcm"]
    assert problems == [f"{tmp_path / 'b/gone.dcm'} is a link that leads nowhere; fetch its file"]


def test_files_of_a_suffix_whatever_its_case(tmp_path):
    for name in ("1.DCM", "2.dcm", "3.dcm.txt", "4.png", "5"):
        (tmp_path / name).touch()
    found = [path.name for path in list_files(tmp_path, [], ".dcm", ".png")]
    assert found == ["1.DCM", "2.dcm", "4.png"]


def test_linked_folders_are_followed_once(tmp_path):
    raw, disk = tmp_path / "raw", tmp_path / "disk"
    for folder in (raw / "b", disk / "c"):
        folder.mkdir(parents=True)
        (folder / "1.dcm").touch()
    (raw / "a").symlink_to(raw / "b")  # found under its own name
    (raw / "d").symlink_to(disk)
    (raw / "e").symlink_to(disk)
    (disk / "c" / "back").symlink_to(disk)
    (disk / "c" / "raw").symlink_to(raw)
    (raw / "gone").symlink_to(tmp_path / "nowhere")
    problems = []
    files = [str(path.relative_to(raw)) for path in list_files(raw, problems)]
    assert files == ["b/1.dcm", "d/c/1.dcm"]
    assert problems == [f"{raw / 'gone'} is a link that leads nowhere; fetch its file"]
    (tmp_path / "alias").symlink_to(raw)
    found = list_files(tmp_path / "alias", [])
    assert [str(path.relative_to(tmp_path / "alias")) for path in found] == files


def test_find_file(tmp_path):
    with pytest.raises(InputError, match=r"has no a.csv or b.csv; give the folder of the whole"):
        find_file(tmp_path, "a.csv", "b.csv")
    (tmp_path / "files/1.0.0").mkdir(parents=True)
    (tmp_path / "files/1.0.0/b.csv").touch()
    with pytest.raises(InputError, match=r"it is in .*/files/1.0.0: give that folder"):
        find_file(tmp_path, "a.csv", "b.csv")
    assert find_file(tmp_path / "files/1.0.0", "a.csv", "b.csv").name == "b.csv"
