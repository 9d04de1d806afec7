"""``medmask convert`` as a user starts it, and kills it."""

import json
import os
import time
from pathlib import Path

from mini_mias_tree import many_films, write_mini_mias

ROOT = Path(__file__).parents[2]


def test_goes_on_after_a_kill(tmp_path, run_tool, forked_python):
    raw = write_mini_mias(tmp_path / "raw", many_films(60))
    output = tmp_path / "mini_mias"
    options = ["mini_mias", str(raw), "--output", str(output), "--max-size", "512"]
    options += ["--workers", "2"]
    process = forked_python.start(
        [ROOT / "tools/convert_dataset.py", *options], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    journal = output / "images.jsonl"
    limit = time.monotonic() + 240
    while not (journal.is_file() and journal.read_bytes().count(b"\n") >= 4):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < limit
        time.sleep(0.01)
    process.kill()
    process.wait()
    lines = journal.read_bytes().split(b"\n")[1:-1]
    done = [json.loads(line)["written"]["file_name"] for line in lines]
    assert 3 <= len(done) < 60, "the kill came too late"
    times = {name: (output / "images" / name).stat().st_mtime_ns for name in done}
    assert not (output / "annotations").exists()

    result = run_tool("convert_dataset.py", *options)

    assert result.returncode == 0, result.stderr
    assert {n: (output / "images" / n).stat().st_mtime_ns for n in done} == times
    names = [f"mdb{number:03d}.png" for number in range(1, 61)]
    assert sorted(os.listdir(output / "images")) == names  # nothing half-written, nothing doubled
    written = [json.loads(line) for line in journal.open()][1:]
    assert sorted(line["written"]["file_name"] for line in written) == names
    content = json.loads((output / "annotations/instances_all_lesion.json").read_text())
    assert [image["file_name"] for image in content["images"]] == names
    assert len(content["annotations"]) == 20
    files = [
        option
        for split in ("train", "val", "test")
        for option in (
            *("--json", output / f"annotations/instances_{split}.json"),
            *("--images", output / "images"),
        )
    ]
    check = run_tool("check_dataset.py", *files)
    assert check.returncode == 0, check.stdout


def test_completeness_is_told_of_coco_trees_alone(tmp_path, run_tool):
    raw = write_mini_mias(tmp_path / "raw", many_films(2))
    options = ("--output", tmp_path / "out", "--complete")
    result = run_tool("convert_dataset.py", "mini_mias", raw, *options)
    assert result.returncode == 2
    assert "leave --complete out" in result.stderr


def test_exit_status_and_problems(tmp_path, run_tool):
    raw = write_mini_mias(tmp_path / "raw", many_films(4), without=("mdb002",))
    options = ("--output", tmp_path / "out", "--max-size", 64, "--workers", 1)
    result = run_tool("convert_dataset.py", "mini-mias", raw, *options)
    assert result.returncode == 1
    assert "instances_all.json: 3 images, 2 patients, 0 lesions on 0 images" in result.stdout
    assert "left out: 1 image," in result.stdout
    assert f"problem: image {raw / 'mdb002.pgm'}" in result.stdout
    # mdb003 and mdb004 are there still
    write_mini_mias(raw, many_films(60), without=[f"mdb{n:03d}" for n in range(2, 61)])
    result = run_tool("convert_dataset.py", "mini-mias", raw, *options)
    assert result.stdout.count("problem: ") == 20
    assert f"and 37 more problems: {tmp_path / 'out/provenance.json'} has all" in result.stdout
    result = run_tool("convert_dataset.py", "mini-mias", tmp_path, *options)
    assert result.returncode == 2
    assert "Info.txt" in result.stderr
