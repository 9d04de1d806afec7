"""Shards of a manifest and their merge, as a user runs them."""

import csv
import json

import pytest
from fresh_runs import write_fresh_run
from isolation import assert_accepted, assert_refused, run_tool
from toy_image_detector import write_images


@pytest.fixture
def predict(tmp_path):
    """Runs the tool in a folder with a manifest of four images, and weights."""
    write_fresh_run(tmp_path)
    names = [str(path) for path in write_images(tmp_path / "in", [40, 80, 120, 160])]
    (tmp_path / "archive.csv").write_text("\n".join(["path", *names]) + "\n")

    def run(*options):
        return run_tool("predict.py", *options, "--output", "out", folder=tmp_path, seconds=300)

    return run


def test_shards_and_their_merge(predict, tmp_path):
    model = ("archive.csv", "--no-overlays", "--checkpoint", "model.pth", "--device", "cpu")
    assert_accepted(predict(*model, "--shard", "1/2", "--workers", 1))
    early = predict("--merge")
    assert early.status == 1
    assert "shard 2/2 in out is not finished" in early.errors
    second = predict(*model, "--shard", "2/2", "--batch-size", 2)
    assert (
        "2 of 2 images (0 done before, 0 failed, 0 refused, 0 left out): out/pred" in second.output
    )
    merged = predict("--merge", "--formats", "json", "csv")
    assert_accepted(merged)
    assert "4 of 4 images (0 failed, 0 refused): out" in merged.output
    with open(tmp_path / "out" / "images.csv", newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["done"] * 4
    detections = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert len({x["file_name"] for x in detections}) == 4
    (tmp_path / "in" / "junk.png").write_bytes(b"junk")
    whole = predict("in", *model[1:], "--formats", "csv")
    assert "(4 done before, 0 failed, 1 refused, 0 left out): out/det" in whole.output
    assert "out/detections.csv, out/images.csv\n" in whole.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--merge", "archive.csv"], "leave out images"),
        (["--merge", "--shard", "1/2"], "leave out --shard"),
        (["--merge", "--operating-point", "0.3"], "leave out --operating-point"),
        (["archive.csv", "--frame", "1", "--checkpoint", "model.pth"], "in a column frame"),
        (["--dataset", "x", "--frame", "1"], "--frame is for files"),
        (["archive.csv", "--shard", "1/2", "--formats", "csv"], "--formats goes with --merge"),
    ],
)
def test_options_that_would_do_nothing_are_refused(predict, tmp_path, options, words):
    assert_refused(predict(*options), words)
    assert not (tmp_path / "out").exists()
