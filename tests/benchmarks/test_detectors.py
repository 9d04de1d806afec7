import itertools
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from real_mammograms import runner
from real_mammograms.cell_config import load_cell_config
from real_mammograms.cells import BENCHMARKS, PEERS, Cell, make_cells, with_starts
from real_mammograms.order import RECORD, Order
from real_mammograms.runner import Settings, run_cells, share_cores

from medmask.checkpoint import load_tensor_file
from medmask.config.yaml_files import write_config_yaml
from medmask.engine.run_lock import lock_folder
from medmask.errors import InputError
from medmask.evaluation import ground_truth_of, read_detections
from medmask.utils.file_hash import hash_if_there

ROOT = Path(__file__).parents[2]
TOOL = "benchmarks/detectors.py"
FROM_FILMS = (["inbreast_folds"], ["faster_rcnn"], ["imagenet+films"])
SMALL = (
    "dataloader.train.mapper.augmentation.short_edge_lengths=[64]",
    "dataloader.test.mapper.augmentation.short_edge_length=64",
    "dataloader.train.total_batch_size=2",
    "train.device=cpu",
)
TWO_STEPS = ("--set", *SMALL, "train.max_iter=2")
FOUR_STEPS = ("--set", *SMALL, "train.max_iter=4")


@pytest.fixture(scope="module")
def root(mammogram_trees):
    return mammogram_trees


@pytest.fixture
def run(run_tool, root, tmp_path):
    def run(*options):
        output = ("--output", tmp_path / "out")
        return run_tool(TOOL, *output, *options, DETECTRON2_DATASETS=str(root))

    return run


def record_of(folder):
    return json.loads((folder / "training.json").read_text())


def test_trains_a_cell_and_finds_it_again(run, root, tmp_path, monkeypatch):
    result = run(*TWO_STEPS)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "out" / "mias2inbreast" / "medmask" / "imagenet" / "seed0"
    record = record_of(folder)
    assert record["steps"] == 2
    assert record["minutes"] > 0
    assert record["batch_size"] == 2
    assert "[1/1] mias2inbreast/medmask/imagenet/seed0: 2 steps" in result.stdout
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    development = ground_truth_of("inbreast_lesion_train")
    assert len(read_detections(folder / "development" / "froc_detections.json", development))

    # Other tests of the same weights; nothing is trained again.
    weights = (folder / "model_final.pth").stat().st_mtime_ns
    result = run(*TWO_STEPS, "--tests", "heldout", "all")
    assert result.returncode == 0, result.stderr
    assert (folder / "model_final.pth").stat().st_mtime_ns == weights
    assert (folder / "heldout" / "froc_detections.json").exists()
    assert (folder / "all" / "froc_detections.json").exists()
    assert "to do" not in run(*TWO_STEPS, "--tests", "heldout").stdout

    result = run("--minutes", 1, *TWO_STEPS)
    assert result.returncode == 2
    assert "was trained with {'minutes': None" in result.stderr

    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("nms_iou: 0.5", "nms_iou: null"))
    result = run(*TWO_STEPS)
    assert result.returncode == 2
    assert (
        "was trained before its config changed: model.nms_iou was None and is 0.5" in result.stderr
    )
    (folder / "config.yaml").unlink()
    result = run(*TWO_STEPS)
    assert result.returncode == 2
    assert "config.yaml is gone, so nothing tells how" in result.stderr


@pytest.mark.slow
def test_stage_goes_on_from_the_first_and_its_teacher_counts(run, tmp_path):
    result = run(*TWO_STEPS)
    assert result.returncode == 0, result.stderr
    small = [
        "loss_hooks.teacher.loader.mapper.augmentation.short_edge_lengths=[64]",
        "loss_hooks.teacher.threshold.update_period=1",
    ]
    result = run("--methods", "teaching", *FOUR_STEPS, *small)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "out" / "mias2inbreast"
    stage = folder / "teaching" / "imagenet" / "seed0"
    assert record_of(stage)["steps"] == 4
    first = folder / "medmask" / "imagenet" / "seed0" / "model_final.pth"
    assert f"Starting from the weights of {first}" in (stage / "log.txt").read_text()
    assert record_of(stage)["start_sha256"] == hash_if_there(first)
    assert "learning/pseudo_labels/precision_beats_constant" in record_of(stage)["learning"]


@pytest.mark.slow
def test_a_stage_and_its_start_are_averaged(run, tmp_path):
    result = run("--methods", "control_strong+start", *TWO_STEPS)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "out" / "mias2inbreast"
    first, stage, average = (
        load_tensor_file(folder / method / "imagenet" / "seed0" / "model_final.pth")["model"]
        for method in ("medmask", "control_strong", "control_strong+start")
    )
    name = "transformer.decoder.class_heads.0.bias"
    torch.testing.assert_close(average[name], (first[name] + stage[name]) / 2)
    cell = folder / "control_strong+start" / "imagenet" / "seed0"
    assert record_of(cell)["steps"] == 0
    assert (cell / "development" / "froc_detections.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", PEERS)
def test_peer_is_trained_and_tested_on_a_fold(run, tmp_path, method):
    what = ("--benchmarks", "inbreast_folds", "--folds", 2, "--starts", "scratch")
    result = run("--methods", method, *what, "--label", "malignant", *TWO_STEPS)
    folder = tmp_path / "out" / "inbreast_folds-malignant" / method / "scratch" / "seed0" / "fold2"
    assert result.returncode == 0, (folder / "log.txt").read_text()
    assert record_of(folder)["steps"] == 2
    assert record_of(folder)["model"] == "average"
    assert (folder / "folds" / "froc_detections.json").exists()


@pytest.mark.slow
def test_minutes_end_a_training(run, tmp_path):
    result = run("--minutes", 0.05, "--set", *SMALL)
    assert result.returncode == 0, result.stderr
    record = record_of(tmp_path / "out" / "mias2inbreast" / "medmask" / "imagenet" / "seed0")
    assert 0.05 <= record["minutes"] < 0.5
    assert record["steps"] >= 1
    assert record["asked"]["minutes"] == 0.05


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ((), "train.seed=3"),
        ((), "train.output_dir=elsewhere"),
        (("--methods", "teaching"), "+train.init_checkpoint=a.pth"),
        (("--benchmarks", "inbreast_folds"), "datasets.fold=3"),
        (("--starts", "scratch"), "train.init_checkpoint=a.pth"),
    ],
)
def test_settings_that_the_name_of_a_cell_tells_are_refused(run, tmp_path, options, setting):
    result = run(*options, "--set", setting)
    assert result.returncode == 2
    assert f"--set {setting}: {setting.lstrip('+').partition('=')[0]} is decided" in result.stderr
    assert not (tmp_path / "out").exists()


def test_failure_names_the_log(run, tmp_path):
    result = run("--set", "train.max_iter=none_such")
    assert result.returncode == 2
    assert "failed with status 2; see" in result.stderr
    log = tmp_path / "out" / "mias2inbreast" / "medmask" / "imagenet" / "seed0" / "log.txt"
    assert "train.max_iter" in log.read_text()


def test_cell_that_another_call_trains_is_left_to_it(run, tmp_path):
    folder = tmp_path / "out" / "mias2inbreast" / "medmask" / "imagenet" / "seed0"
    folder.mkdir(parents=True)
    with lock_folder(folder):
        result = run(*TWO_STEPS)
    assert result.returncode == 2
    assert "failed with status 2; see" in result.stderr
    assert "is in use by" in (folder / "log.txt").read_text()
    assert not (folder / "training.json").exists()


def test_interrupted_training_is_no_result(forked_python, root, tmp_path):
    output = tmp_path / "out"
    process = forked_python.start(
        [ROOT / TOOL, "--output", output, "--minutes", "5", "--set", *SMALL],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "DETECTRON2_DATASETS": str(root)},
    )
    folder = output / "mias2inbreast" / "medmask" / "imagenet" / "seed0"
    log = folder / "log.txt"
    deadline = time.monotonic() + 240
    try:
        while not (log.exists() and "Starting from the weights of" in log.read_text()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=300) == 128 + signal.SIGTERM
    finally:
        process.kill()  # its processes end with it
        process.wait()
    assert not (folder / "training.json").exists()


@pytest.fixture
def run_fakes(tmp_path, monkeypatch):
    """Runs cells whose weights are the number of their training, and returns what each has."""
    trainings = itertools.count()

    def train(order, children):
        order.folder.mkdir(parents=True, exist_ok=True)
        write_config_yaml(load_cell_config(order), order.folder / "config.yaml")
        (order.folder / "model_final.pth").write_text(f"training {next(trainings)}")
        start = hash_if_there(order.start_weights)
        order.write_record(steps=10, minutes=0.5, start_sha256=start)

    def run(cells):
        run_cells(with_starts(cells), cells, Settings(tmp_path), report=lambda line: None)

    monkeypatch.setattr(runner, "_run", train)
    monkeypatch.setattr(runner, "_is_done", lambda order: (order.folder / RECORD).is_file())
    return run


def test_cell_of_a_start_that_was_trained_again_is_refused(run_fakes, tmp_path):
    first, stage = (
        Cell("mias2inbreast", method, "imagenet", 0) for method in ("medmask", "control_strong")
    )
    run_fakes([first, stage])
    run_fakes([first, stage])
    shutil.rmtree(tmp_path / first.name)
    words = f"{stage.name} does not go with .*{first.name}/model_final.pth, as its start"
    with pytest.raises(InputError, match=f"{words} is to be trained again: delete its folder"):
        run_fakes([first, stage])
    run_fakes([first])
    with pytest.raises(InputError, match=f"{words} was trained again since: delete its folder"):
        run_fakes([first, stage])

    record = record_of(tmp_path / stage.name)
    del record["start_sha256"]  # as versions of before wrote it
    (tmp_path / stage.name / RECORD).write_text(json.dumps(record))
    run_fakes([first, stage])


def test_cells_come_after_what_they_start_from():
    asked = make_cells(["mias2inbreast"], ["teaching"], ["imagenet+phantoms"], [3], "malignant")
    assert [cell.name for cell in with_starts(asked)] == [
        "phantoms/medmask/imagenet/seed3",
        "mias2inbreast-malignant/medmask/imagenet+phantoms/seed3",
        "mias2inbreast-malignant/teaching/imagenet+phantoms/seed3",
    ]
    (phantoms,) = make_cells(["phantoms"], ["medmask"], ["imagenet"], [3], "malignant")
    assert phantoms == with_starts(asked)[0]  # one training, whatever the label of the others
    folds = make_cells(["inbreast_folds"], ["medmask"], ["scratch"], [0, 1], "lesion", [1, 4])
    assert [cell.name for cell in folds] == [
        f"inbreast_folds/medmask/scratch/seed{seed}/fold{fold}"
        for seed in (0, 1)
        for fold in (1, 4)
    ]
    assert folds[1].test_set("folds") == "inbreast_lesion_fold4_test"
    assert [cell.name for cell in with_starts(make_cells(*FROM_FILMS, [0], "lesion", [1, 2]))] == [
        "mias2inbreast/faster_rcnn/imagenet/seed0",
        "inbreast_folds/faster_rcnn/imagenet+films/seed0/fold1",
        "inbreast_folds/faster_rcnn/imagenet+films/seed0/fold2",
    ]
    assert "datasets.fold=4" in folds[1].options()


@pytest.mark.parametrize("benchmark", ["mias2inbreast", "inbreast2mias", "phantoms"])
def test_films_are_no_start_for_benchmarks_that_have_them(benchmark):
    with pytest.raises(InputError, match=rf"{benchmark} cannot start from imagenet\+films"):
        make_cells([benchmark], ["medmask"], ["imagenet+films"], [0], "lesion")


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_benchmark_has_its_page(benchmark):
    cell = Cell(benchmark, "medmask", "scratch", seed=0, fold=0)
    assert cell.page().is_file()
    with pytest.raises(InputError, match="has no test 'nonsense'; it has"):
        cell.test_set("nonsense")


def test_order_is_read_as_it_was_written(tmp_path):
    cell = Cell("inbreast_folds", "medmask", "scratch", 1, "malignant", 2)
    order = Order(cell, tmp_path, ("folds",), 1.5, ("train.device=cpu",), (0, 1))
    assert Order.read(order.write()) == order


def test_cores_are_shared():
    (alone,) = share_cores(1)
    assert share_cores(len(alone)) == [(core,) for core in alone]
    with pytest.raises(InputError, match=r"only .* cores can be used"):
        share_cores(len(alone) + 1)
