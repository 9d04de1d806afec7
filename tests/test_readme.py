"""The README's Python on prediction does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg, instantiate
from detectron2.modeling import build_model
from PIL import Image

from medmask import add_medmask_config
from medmask.config.files import write_config_yaml
from medmask.config.loading import load_config

ROOT = Path(__file__).parents[1]
SMALL = ROOT / "configs" / "medmask" / "phantom" / "source_only.py"


def snippet(word):
    """The Python block of the README that holds a word."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    (block,) = (block for block in blocks if word in block)
    return block


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)


def test_predictor_of_a_run(tmp_path, monkeypatch, pixels):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "output" / "demo" / "expert"
    run.mkdir(parents=True)
    config = load_config(str(SMALL), ["train.device=cpu"])
    torch.save({"model": instantiate(config.model).state_dict()}, run / "model_final.pth")
    write_config_yaml(config, run / "config.yaml")
    Image.fromarray(pixels).save("scan.png")
    names = {}
    exec(snippet("MedMaskPredictor").replace("scan.dcm", "scan.png"), names)
    assert len(names["detections"].pred_boxes) > 0
    assert names["detections"].image_size == (64, 48)


def test_default_predictor(tmp_path, monkeypatch, pixels):
    monkeypatch.chdir(tmp_path)
    cfg = get_cfg()
    add_medmask_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    torch.save({"model": build_model(cfg).state_dict()}, "converted.pth")
    names = {"bgr_image": pixels}
    exec(snippet("DefaultPredictor"), names)
    assert names["outputs"]["instances"].image_size == (64, 48)
    assert len(names["outputs"]["instances"]) == 100
