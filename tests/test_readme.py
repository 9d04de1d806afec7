"""The Python of README and docs does what it says."""

import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from PIL import Image

from medmask import add_medmask_config
from medmask.config import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.data import register_coco_dataset

ROOT = Path(__file__).parents[1]
SMALL = ROOT / "configs" / "medmask" / "phantom" / "source_only.py"


def snippet(page, word):
    """The Python block of a page that holds a word."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    (block,) = (block for block in blocks if word in block)
    return block


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)


def write_run(folder, weights):
    """Leave what a run leaves: its config, and weights of random values."""
    folder.mkdir(parents=True)
    config = load_config(str(SMALL), ["train.device=cpu"])
    torch.save({"model": instantiate(config.model).state_dict()}, folder / weights)
    write_config_yaml(config, folder / "config.yaml")


def test_predictor_of_the_demo(tmp_path, monkeypatch, pixels):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "output" / "demo" / "alignment", "model_final.pth")
    Image.fromarray(pixels).save("scan.png")
    names = {}
    exec(snippet("README.md", "MedMaskPredictor").replace("scan.dcm", "scan.png"), names)
    assert len(names["detections"].pred_boxes) > 0
    assert names["detections"].image_size == (64, 48)


def test_predictor_of_several_images(tmp_path, monkeypatch, pixels, capsys):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "output" / "phantom" / "source_only", "model_best.pth")
    Image.fromarray(pixels).save("scan.png")
    Image.fromarray(pixels[:32]).save("other.png")
    names = {}
    block = snippet("docs/getting_started.md", "MedMaskPredictor")
    exec(block.replace("scan.dcm", "scan.png"), names)
    assert names["result"]["instances"].image_size == (32, 48)
    assert capsys.readouterr().out.count("tensor") >= 2 * 3


def test_operator():
    names = {}
    exec(snippet("docs/operator.md", "ms_deform_attn"), names)
    assert names["output"].shape == (2, 100, 256)


def test_own_data_set(tmp_path):
    """The annotation file and the config of the page work together."""
    page = (ROOT / "docs" / "your_data.md").read_text()
    for name in ("case1/L_CC.dcm", "case2/R_MLO.dcm"):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        (tmp_path / "images" / name).touch()
    for split in ("train", "val"):
        file = tmp_path / f"{split}.json"
        file.write_text(re.search(r"^```json\n(.*?)^```", page, re.M | re.S)[1])
    shutil.copytree(ROOT / "configs" / "common", tmp_path / "configs" / "common")
    config_file = tmp_path / "configs" / "medmask" / "mine" / "source_only.py"
    config_file.parent.mkdir(parents=True)
    code = snippet("docs/your_data.md", "lr_multiplier")
    code = code.replace("/data/mine", str(tmp_path)).replace("mine_", "page_mine_")
    config_file.write_text(code)

    config = load_config(str(config_file))
    case, other = DatasetCatalog.get(config.dataloader.train.dataset)
    assert case["file_name"] == str(tmp_path / "images" / "case1" / "L_CC.dcm")
    assert (len(case["annotations"]), len(other["annotations"])) == (1, 0)
    assert (case["patient_id"], case["laterality"]) == ("case1", "L")
    assert MetadataCatalog.get(config.dataloader.test.dataset).thing_classes == ["malignant"]


def test_default_predictor(tmp_path, monkeypatch, pixels):
    monkeypatch.chdir(tmp_path)
    cfg = get_cfg()
    add_medmask_config(cfg)
    cfg.MODEL.DEVICE = "cpu"
    torch.save({"model": build_model(cfg).state_dict()}, "converted.pth")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 16).save("scan.png")
    names = {}
    block = snippet("docs/getting_started.md", "DefaultPredictor(cfg)")
    exec(block.replace("scan.dcm", "scan.png"), names)
    assert names["bgr_image"].max() == 255
    assert names["outputs"]["instances"].image_size == (64, 48)
    assert len(names["outputs"]["instances"]) == 100


def test_loader_of_detectron2(tmp_path, pixels):
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 16).save(tmp_path / "deep.png")
    image = {"id": 1, "file_name": "deep.png", "height": 64, "width": 48}
    categories = [{"id": 1, "name": "malignant"}]
    file = tmp_path / "train.json"
    file.write_text(json.dumps({"images": [image], "annotations": [], "categories": categories}))
    register_coco_dataset("page_loader_train", str(file), str(tmp_path), ["malignant"])
    names = {}
    block = snippet("docs/extending.md", "build_detection_train_loader")
    exec(block.replace("phantom_film_train", "page_loader_train"), names)
    (batch,) = itertools.islice(names["loader"], 1)
    assert len(batch) == 8
    assert len(batch[0]["image"].unique()) > 200  # neither black nor white
