"""What predict.py writes is what an evaluation judges: the same figures, to the last digit."""

import json
import random
import shutil

import pytest
import torch
from detectron2.config import instantiate
from isolation import ROOT, assert_accepted, run_tool

from medmask.config import load_config
from medmask.phantom import PhantomParameters, make_phantom_dataset

CONFIG = str(ROOT / "configs" / "medmask" / "phantom" / "source_only.py")
FIGURES = ("sensitivity", "intervals", "curve", "image_level", "breast_level", "categories")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    make_phantom_dataset(
        root / "phantom",
        PhantomParameters(width=48, height=64, positive_fraction=0.7),
        split_sizes={"val": 20},
        domains=["film"],
    )
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Fresh weights, whose scores are hard to tell apart: the last bits decide on their order."""
    file = tmp_path_factory.mktemp("weights") / "model.pth"
    torch.manual_seed(15)  # with a hit at no more than 4 false positives per image
    torch.save({"model": instantiate(load_config(CONFIG).model).state_dict()}, file)
    return file


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "bfloat16"])
def evaluated(request, weights, datasets, tmp_path_factory):
    """What an evaluation in batches leaves: its folder, and the weights beside its config."""
    folder = tmp_path_factory.mktemp("run")
    outcome = run_tool(
        "lazyconfig_train_net.py",
        *("--config-file", CONFIG, "--eval-only", f"train.init_checkpoint={weights}"),
        *("train.device=cpu", f"train.amp.enabled={request.param}", f"train.output_dir={folder}"),
        *("dataloader.test.batch_size=8", "dataloader.test.num_workers=0"),
        environment={"DETECTRON2_DATASETS": str(datasets)},
        seconds=240,
    )
    assert_accepted(outcome)
    shutil.copy(weights, folder / "model_final.pth")
    return folder


def figures_of(datasets, detections, tmp_path):
    """What evaluate_froc.py computes from a file of detections."""
    annotations = datasets / "phantom" / "film" / "annotations" / "instances_val.json"
    file = tmp_path / "figures.json"
    assert_accepted(
        run_tool(
            "evaluate_froc.py",
            *("--annotations", annotations, "--detections", detections, "--json", file),
        )
    )
    return json.loads(file.read_text())


def predict(run, datasets, output, *options, folder=ROOT):
    assert_accepted(
        run_tool(
            "predict.py",
            *("--checkpoint", run / "model_final.pth", "--device", "cpu"),
            *("--output", output, "--no-overlays", *options),
            folder=folder,
            environment={"DETECTRON2_DATASETS": str(datasets)},
            seconds=240,
        )
    )
    return output / "detections.json"


def check_froc(run, figures):
    expected = json.loads((run / "inference" / "froc.json").read_text())
    assert max(expected["sensitivity"]) > 0, "nothing to compare"
    for key in FIGURES:
        assert figures[key] == expected[key], key
    assert figures["counts"]["detections_after_nms"] == expected["counts"]["detections_after_nms"]


def test_data_set_gives_the_figures_of_its_evaluation(evaluated, datasets, tmp_path):
    detections = predict(evaluated, datasets, tmp_path, "--dataset", "phantom_film_val")
    check_froc(evaluated, figures_of(datasets, detections, tmp_path))
    record = json.loads(detections.read_text())[0]
    annotations = datasets / "phantom" / "film" / "annotations" / "instances_val.json"
    images = {x["id"]: x["file_name"] for x in json.loads(annotations.read_text())["images"]}
    assert record["file_name"] == images[record["image_id"]]
    assert (record["category_id"], record["category_name"]) == (1, "malignant")


def test_files_in_any_order_give_the_figures_too(evaluated, datasets, tmp_path):
    folder = datasets / "phantom" / "film" / "images" / "val"
    files = sorted(file.name for file in folder.iterdir())
    random.Random(0).shuffle(files)
    detections = predict(evaluated, datasets, tmp_path, *files, folder=folder)
    check_froc(evaluated, figures_of(datasets, detections, tmp_path))


def test_without_suppression_the_average_precision_is_the_same(evaluated, datasets, tmp_path):
    detections = predict(
        evaluated, datasets, tmp_path, "--dataset", "phantom_film_val", "--nms-iou", "none"
    )
    figures = figures_of(datasets, detections, tmp_path)
    check_froc(evaluated, figures)
    expected = json.loads((evaluated / "evaluation.json").read_text())
    assert figures["counts"]["detections"] > figures["counts"]["detections_after_nms"]
    assert 100 * figures["average_precision"]["ap"] == pytest.approx(expected["bbox/AP"], abs=1e-9)
