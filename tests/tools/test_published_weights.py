"""Published two-class mammography weights, from the list of their parameters to boxes."""

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.engine import DefaultPredictor

from medmask import add_medmask_config
from medmask.inference import MedMaskPredictor

ROOT = Path(__file__).parents[2]
KEY_LIST = ROOT / ".." / "shared" / "golden" / "medmask_checkpoint_keys.json"
CONFIG = ROOT / "configs" / "medmask" / "ddsm" / "source_only.py"
SMALL_IMAGES = (
    "dataloader.test.mapper.augmentation.short_edge_length=64",
    "dataloader.test.mapper.augmentation.max_size=107",
)
MALIGNANT = 1


def make_published(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Random weights that keep activations finite through 50 layers."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in shapes.items():
        if name.endswith(("running_var", "norm.weight")) or (".bn" in name and "weight" in name):
            weights[name] = torch.ones(shape)
        else:
            weights[name] = 0.02 * torch.randn(shape, generator=generator)
    return weights


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file of every parameter of a published checkpoint, as that line saves them."""
    if not KEY_LIST.exists():
        pytest.skip(f"the list of published names {KEY_LIST} is absent")
    path = tmp_path_factory.mktemp("published") / "published.pth"
    torch.save({"model": make_published(json.loads(KEY_LIST.read_text())), "epoch": 9}, path)
    return path


@pytest.fixture(scope="module")
def converted(published):
    path = published.with_name("converted.pth")
    status, output = convert(published, path, "--class-rows", MALIGNANT)
    assert status == 0, output
    return path


def convert(source, target, *options):
    """Run the tool in this process, to save time; its status and what it prints."""
    tool = str(ROOT / "tools" / "convert_checkpoint.py")
    arguments = [tool, source, target, "--config-file", CONFIG, *options]
    output = io.StringIO()
    with (
        mock.patch.object(sys, "argv", [str(x) for x in arguments]),
        contextlib.redirect_stdout(output),
        pytest.raises(SystemExit) as stopped,
    ):
        runpy.run_path(tool, run_name="__main__")
    return stopped.value.code, output.getvalue()


def test_without_rows_the_conversion_fails_and_says_what_to_do(published, tmp_path):
    status, output = convert(published, tmp_path / "headless.pth")
    assert status == 1
    assert "is 2 x 256 in the file and 1 x 256 in the model" in output
    assert "--class-rows" in output
    with pytest.raises(ValueError, match=r"2 of \d+ missing .*class_heads.*--class-rows"):
        MedMaskPredictor(CONFIG, tmp_path / "headless.pth", ["train.device=cpu"])


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)


def test_predictor(published, converted, image):
    predictor = MedMaskPredictor(CONFIG, converted, ["train.device=cpu", *SMALL_IMAGES])
    head = predictor.model.transformer.decoder.class_heads[0]
    theirs = torch.load(published, weights_only=True)["model"]
    assert torch.equal(head.weight, theirs["class_embed.5.weight"][MALIGNANT:][:1])
    assert torch.equal(head.bias, theirs["class_embed.5.bias"][MALIGNANT:][:1])
    check_boxes(predictor(image)["instances"])


def test_default_predictor(converted, image):
    cfg = get_cfg()
    add_medmask_config(cfg)
    cfg.MODEL.WEIGHTS = str(converted)
    cfg.MODEL.DEVICE = "cpu"
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 64, 107
    check_boxes(DefaultPredictor(cfg)(image)["instances"])


def check_boxes(instances):
    assert len(instances) > 0
    assert instances.image_size == (90, 60)
    assert set(instances.pred_classes.tolist()) == {0}
    boxes = instances.pred_boxes.tensor
    assert boxes.isfinite().all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes <= boxes.new_tensor([60, 90, 60, 90])).all()
    assert (instances.scores > 0).all()
    assert (instances.scores < 1).all()


def test_evaluation(converted, training_runs, tmp_path):
    command = training_runs.command(
        "ddsm/source_only.py",
        tmp_path,
        "--eval-only",
        f"train.init_checkpoint={converted}",
        "dataloader.test.dataset=phantom_film_val",
        *SMALL_IMAGES,
    )
    done = training_runs.run(command)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "evaluation.json").read_text())
    assert "froc/R@0.3" in results
    (detections,) = tmp_path.glob("inference/*detections*.json")
    found = json.loads(detections.read_text())
    assert len(found) > 0
    assert all(0 < x["score"] < 1 for x in found)
