"""A data set of the user's own, registered by a .py config, from training to evaluated predictions.

What comes after training is given the config.yaml of the run, by name or beside the weights.
"""

import json

import pytest
from isolation import ROOT

PAGE = """
from detectron2.config import LazyConfig

from medmask.data import register_coco_dataset

globals().update(LazyConfig.load("{base}"))
register_coco_dataset("own_train", "{json_file}", "{image_root}", ["mass", "cyst"])
register_coco_dataset("own_val", "{json_file}", "{image_root}")
dataloader.train.update(dataset="own_train", num_workers=0, total_batch_size=1)
dataloader.test.update(dataset="own_val", num_workers=0)
model.transformer.num_classes = 2
train.update(device="cpu", max_iter=1, output_dir="{output}")
"""


@pytest.fixture
def own_set(coco_content, write_tree):
    """Annotation file and images; ids of categories neither begin at 0 nor are contiguous."""
    coco_content["categories"] = [{"id": 3, "name": "mass"}, {"id": 40, "name": "cyst"}]
    for annotation, category in zip(coco_content["annotations"], (3, 40, 3), strict=True):
        annotation["category_id"] = category
    return write_tree(coco_content)


def test_own_set_is_known_after_training(run_tool, own_set, tmp_path):
    json_file, image_root = own_set
    run, page = tmp_path / "run", tmp_path / "page.py"
    base = ROOT / "configs" / "medmask" / "phantom" / "source_only.py"
    paths = dict(base=base, json_file=json_file, image_root=image_root, output=run)
    page.write_text(PAGE.format(**paths))

    def succeed(*command):
        done = run_tool(*command)
        assert done.returncode == 0, done.stderr

    succeed("lazyconfig_train_net.py", "--config-file", page)
    config = ("--config-file", run / "config.yaml")
    succeed("lazyconfig_train_net.py", *config, "--resume", "train.max_iter=2")
    warning = "annotation file of data set 'own_train' is not the one that this run has been"
    assert warning not in (run / "log.txt").read_text()
    content = json_file.read_text()
    json_file.write_text(json.dumps(json.loads(content) | {"annotations": []}))
    succeed("lazyconfig_train_net.py", *config, "--resume", "train.max_iter=3")
    log = (run / "log.txt").read_text()
    assert warning in log
    assert "'own_val' is not" not in log  # it may change
    assert "No image of dataloader.train.dataset has a lesion" in log
    json_file.write_text(content)
    weights = run / "model_final.pth"
    evaluation = (f"train.init_checkpoint={weights}", f"train.output_dir={tmp_path / 'evaluation'}")
    succeed("lazyconfig_train_net.py", *config, "--eval-only", *evaluation)

    checkpoint = ("--checkpoint", weights, "--no-overlays")
    succeed("predict.py", image_root, *checkpoint, "--output", tmp_path / "images")
    succeed("predict.py", "--dataset", "own_val", *checkpoint, "--output", tmp_path / "set")
    for folder in ("images", "set"):
        detections = json.loads((tmp_path / folder / "detections.json").read_text())
        named = {(each["category_id"], each["category_name"]) for each in detections}
        assert named <= {(3, "mass"), (40, "cyst")}
        assert named
    succeed("calibrate.py", "--dataset", "own_val", "--checkpoint", weights)
    succeed("report.py", run)
    assert "not registered" not in (run / "report.html").read_text()
