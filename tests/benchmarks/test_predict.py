"""The benchmark of predictions, on a model and images that are tiny."""

import json

import torch
from detectron2.config import LazyConfig, instantiate
from isolation import ROOT, run_tool
from toy_image_detector import write_images

from medmask.config import load_config


def test_table_of_stages(tmp_path):
    config = load_config(str(ROOT / "configs" / "medmask" / "phantom" / "source_only.py"))
    torch.save({"model": instantiate(config.model).state_dict()}, tmp_path / "model_best.pth")
    LazyConfig.save(config, str(tmp_path / "config.yaml"))
    write_images(tmp_path / "in", [10, 20, 30])
    result = run_tool(
        "../benchmarks/predict.py",
        *(tmp_path / "in", "--checkpoint", tmp_path / "model_best.pth", "--device", "cpu"),
        *("--workers", 0, "--repeats", 1, "--json", tmp_path / "figures.json"),
    )
    assert result.status == 0, result.describe()
    figures = json.loads((tmp_path / "figures.json").read_text())
    (row,) = figures["pipeline"]
    assert figures["images"] == 3
    assert row["workers"] == 0
    assert all(row[name] > 0 for name in ("reading", "waiting", "model", "writing"))
    assert row["waiting"] >= row["reading"]
    expected = row["images_per_second"] / figures["model_images_per_second"]
    assert row["share_of_model"] == expected
    assert "workers" in result.output
