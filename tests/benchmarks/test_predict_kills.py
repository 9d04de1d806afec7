"""Predictions that are killed at random moments, with shards and workers, as users run them."""

import json

import pytest

FAULTS = (
    "lost",
    "doubled",
    "predicted on twice",
    "results that differ",
    "finished lines lost",
    "abandoned files",
)


@pytest.mark.parametrize(
    ("kills", "images", "seed"),
    [(4, 16, 0), pytest.param(40, 60, 1, marks=pytest.mark.slow)],
    ids=["few", "many"],
)
def test_kills_lose_and_double_nothing(run_tool, tmp_path, kills, images, seed):
    counts = tmp_path / "counts.json"
    result = run_tool(
        "benchmarks/predict_kills.py",
        *("--kills", kills, "--images", images, "--seed", seed, "--json", counts),
    )
    assert result.returncode == 0, result.stderr
    content = json.loads(counts.read_text())
    assert content["kills"] >= kills
    assert content["processes killed"] >= kills
    assert content["images"] == images * content["passes"]
    assert [content[name] for name in FAULTS] == [0] * len(FAULTS)


def test_what_is_lost_or_doubled_is_counted(tmp_path, monkeypatch):
    """The counts of a folder in which something is wrong are not all 0."""
    import random

    from prediction_kills.inputs import Inputs
    from prediction_kills.killed_run import KilledRun

    names = ("a.png", "b.png", "c.png")
    inputs = Inputs(tmp_path / "x.csv", tmp_path / "x.pth", names)
    output = tmp_path / "out"
    output.mkdir()
    each = KilledRun(inputs, output, random.Random(0), shards=2, workers=1)
    for shard, keys in ((1, "ab"), (2, "bc")):
        lines = ["{}", *(json.dumps({"key": key}) for key in keys)]
        (output / f"predictions-{shard}-of-2.jsonl").write_text("\n".join(lines) + "\n")
    (output / "images.csv").write_text("file_name,status\na.png,done\na.png,done\nb.png,failed\n")
    (output / "detections.json").write_text("[1]")
    (output / ".x.png.1.abcdefgh.part").write_text("")
    each.check(b"[]")
    assert {name: each.counts[name] for name in FAULTS} == {
        "lost": 2,
        "doubled": 1,
        "predicted on twice": 1,
        "results that differ": 1,
        "finished lines lost": 0,
        "abandoned files": 1,
    }
