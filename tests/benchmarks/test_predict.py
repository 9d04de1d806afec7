"""The benchmark of predictions, on a model and images that are tiny."""

import json
import sys

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from isolation import ROOT, assert_refused, run_tool
from toy_image_detector import write_images

from medmask.config import load_config

TOOL = "../benchmarks/predict.py"
YOLO = f"""#!{sys.executable}
import os, sys
from pathlib import Path

assert "PYTHONPATH" not in os.environ
task, mode, *settings = sys.argv[1:]
assert (task, mode) == ("detect", "predict")
given = dict(setting.split("=", 1) for setting in settings)
assert int(given["imgsz"]) % 32 == 0
assert len(list(Path(given["source"]).glob("*.png"))) == 3
print("Speed: 1.5ms preprocess, 20.0ms inference, 0.5ms postprocess per image")
"""


@pytest.fixture
def checkpoint(tmp_path):
    config = load_config(str(ROOT / "configs" / "medmask" / "phantom" / "source_only.py"))
    torch.save({"model": instantiate(config.model).state_dict()}, tmp_path / "model_best.pth")
    LazyConfig.save(config, str(tmp_path / "config.yaml"))
    return tmp_path / "model_best.pth"


def test_tables_of_stages_peers_memory_and_plan(checkpoint, tmp_path):
    program = tmp_path / "yolo"
    program.write_text(YOLO)
    program.chmod(0o755)
    write_images(tmp_path / "in", [10, 20, 30])
    result = run_tool(
        TOOL,
        *(tmp_path / "in", "--checkpoint", checkpoint, "--device", "cpu"),
        *("--workers", 0, "--repeats", 1, "--json", tmp_path / "figures.json"),
        *("--peers", "retinanet", "yolo11n", "--yolo", program),
        *("--links", 40, "--plan-rows", 2000),
        seconds=300,
    )
    assert result.status == 0, result.describe()
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["images"] == 3
    ours, retinanet, yolo = figures["pipeline"]
    for row, name in ((ours, "medmask"), (retinanet, "retinanet")):
        assert (row["detector"], row["workers"]) == (name, 0)
        assert all(row[column] > 0 for column in ("reading", "waiting", "model", "writing"))
        assert row["waiting"] >= row["reading"]
        expected = row["images_per_second"] / row["model_images_per_second"]
        assert row["share_of_model"] == expected
    assert (yolo["reading"], yolo["model"], yolo["writing"]) == (1.5, 20.0, 0.5)
    assert yolo["images_per_second"] > 0
    memory = figures["memory"]
    assert memory["statuses"] == {"done": 40}
    assert [done for done, _ in memory["samples"]] == list(range(2, 41, 2))
    assert all(mib > 50 for _, mib in memory["samples"])
    assert figures["plan"]["rows"] == 2000
    assert "2000 rows of a manifest are planned in" in result.output


def test_yolo_without_its_program_is_refused(checkpoint, tmp_path):
    write_images(tmp_path / "in", [10])
    options = (tmp_path / "in", "--checkpoint", checkpoint, "--peers", "yolo11n")
    result = run_tool(TOOL, *options, "--workers", 0, "--repeats", 1, "--device", "cpu")
    assert_refused(result, "--yolo")
