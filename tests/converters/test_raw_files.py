from medmask.converters.raw_files import list_files


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
