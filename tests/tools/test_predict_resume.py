"""predict.py is stopped, in every way there is, and goes on: nothing lost, nothing twice."""

import contextlib
import json
import os
import random
import resource
import runpy
import shutil
import signal
import sys
import time

import pytest
import torch
from detectron2.config import instantiate
from isolation import ROOT, assert_accepted, assert_refused, call, run_tool

from medmask.config import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.inference import MedMaskPredictor, find_images, images_of_files, predict_images
from medmask.phantom import PhantomParameters, make_phantom_dataset

CONFIG = ROOT / "configs" / "medmask" / "phantom" / "source_only.py"
IMAGES = 12


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """What a training run leaves, with fresh weights."""
    folder = tmp_path_factory.mktemp("run")
    config = load_config(str(CONFIG), ["train.device=cpu"])
    torch.manual_seed(0)
    torch.save({"model": instantiate(config.model).state_dict()}, folder / "model_best.pth")
    write_config_yaml(config, folder / "config.yaml")
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans")
    make_phantom_dataset(
        root,
        PhantomParameters(width=48, height=64),
        split_sizes={"val": IMAGES},
        domains=["film"],
    )
    return root / "film" / "images" / "val"


@pytest.fixture(scope="module")
def options(run_folder, scans):
    return (scans, "--checkpoint", run_folder / "model_best.pth", "--device", "cpu")


@pytest.fixture(scope="module")
def whole(options, tmp_path_factory):
    """The output of a run that nothing stopped."""
    output = tmp_path_factory.mktemp("whole")
    assert_accepted(run_tool("predict.py", *options, "--output", output, seconds=240))
    return output


def contents(output):
    """Everything that a user looks at."""
    pictures = {file.name: file.read_bytes() for file in (output / "overlays").iterdir()}
    return (output / "detections.json").read_bytes(), pictures


def finished(output):
    """Images in the journal, by the lines that are complete."""
    journal = output / "predictions.jsonl"
    if not journal.exists():
        return []
    *lines, _ = journal.read_bytes().split(b"\n")
    return [json.loads(line)["path"] for line in lines[1:]]


@pytest.fixture(scope="module")
def predictor(run_folder):
    return MedMaskPredictor(
        run_folder / "config.yaml", run_folder / "model_best.pth", ["train.device=cpu"]
    )


def run_and_kill(work, output, images, seconds):
    """Do some work in a child process, and kill it some time after it finished some images."""
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        with contextlib.suppress(BaseException):
            work()
        os._exit(0)
    wanted = len(finished(output)) + images
    while len(finished(output)) < wanted and not os.waitid(
        os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT
    ):
        time.sleep(0.002)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(i, marks=pytest.mark.slow) for i in range(4, 40))]
)
def test_kills_at_any_time_lose_and_double_nothing(
    predictor, scans, options, whole, tmp_path, seed
):
    draw = random.Random(seed)
    images = images_of_files(find_images([scans]).paths)
    done = []
    for _ in range(4):
        run_and_kill(
            lambda: predict_images(predictor, images, tmp_path),
            tmp_path,
            draw.randrange(4),
            draw.random() * 0.1,
        )
        before, done = done, finished(tmp_path)
        assert done[: len(before)] == before
    outcome = run_tool("predict.py", *options, "--output", tmp_path, seconds=240)
    assert_accepted(outcome)
    assert f"{IMAGES} of {IMAGES} images ({len(done)} done before" in outcome.output
    assert contents(tmp_path) == contents(whole)
    assert sorted(finished(tmp_path)) == sorted(set(finished(tmp_path)))


@pytest.mark.parametrize("kept", [0, 1, 0.5, 0.999])
def test_journal_that_is_cut_off_anywhere_is_completed(options, whole, tmp_path, kept):
    content = (whole / "predictions.jsonl").read_bytes()
    length = int(len(content) * kept) if kept != 1 else 20
    (tmp_path / "predictions.jsonl").write_bytes(content[:length])
    shutil.copytree(whole / "overlays", tmp_path / "overlays")
    assert_accepted(run_tool("predict.py", *options, "--output", tmp_path, seconds=240))
    journal = (tmp_path / "predictions.jsonl").read_bytes()
    assert journal.splitlines()[1:] == content.splitlines()[1:]
    detections = (tmp_path / "detections.json").read_bytes()
    assert detections == (whole / "detections.json").read_bytes()


def test_tool_that_a_signal_ends_keeps_what_is_done(forked_python, options, whole, tmp_path):
    process = forked_python.start(
        [ROOT / "tools" / "predict.py", *options, "--output", tmp_path],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    while process.poll() is None and not finished(tmp_path):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in errors
    assert "Traceback" not in errors
    done = finished(tmp_path)
    assert 0 < len(done) < IMAGES
    outcome = run_tool("predict.py", *options, "--output", tmp_path, seconds=240)
    assert f"({len(done)} done before" in outcome.output
    assert contents(tmp_path) == contents(whole)


def test_disk_that_fills_up_ends_it_and_it_goes_on_with_more_space(options, whole, tmp_path):
    def run_with_small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        tool = str(ROOT / "tools" / "predict.py")
        sys.argv = [tool, *map(str, options), "--no-overlays", "--output", str(tmp_path)]
        runpy.run_path(tool, run_name="__main__")

    limit = (whole / "predictions.jsonl").stat().st_size // 2
    outcome = call(run_with_small_files, seconds=240)
    assert_refused(outcome, f"error: {tmp_path / 'predictions.jsonl'}: file too large")
    done = finished(tmp_path)
    assert 0 < len(done) < IMAGES
    outcome = run_tool("predict.py", *options, "--no-overlays", "--output", tmp_path, seconds=240)
    assert f"({len(done)} done before" in outcome.output
    detections = (tmp_path / "detections.json").read_bytes()
    assert detections == (whole / "detections.json").read_bytes()


def test_finished_images_are_not_computed_again(options, whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "out")
    journal = (whole / "predictions.jsonl").read_bytes()
    outcome = run_tool("predict.py", *options, "--output", tmp_path / "out", seconds=240)
    assert_accepted(outcome)
    assert f"({IMAGES} done before" in outcome.output
    assert (tmp_path / "out" / "predictions.jsonl").read_bytes() == journal
    assert contents(tmp_path / "out") == contents(whole)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--score-threshold", "0.4"], "with score_threshold=0.3, but now score_threshold=0.4"),
        (["--nms-iou", "none"], "with nms_iou=0.1, but now nms_iou=None"),
        (["--no-overlays"], "with overlays=True, but now overlays=False"),
    ],
)
def test_other_options_are_refused_unless_they_may_overwrite(
    options, whole, tmp_path, changes, words
):
    output = tmp_path / "out"
    shutil.copytree(whole, output)
    arguments = (*options, "--output", output, *changes)
    assert_refused(run_tool("predict.py", *arguments), words, "--overwrite")
    assert contents(output) == contents(whole)
    assert_accepted(run_tool("predict.py", *arguments, "--overwrite", seconds=240))
    assert (output / "overlays").exists() == ("--no-overlays" not in changes) or not any(
        (output / "overlays").iterdir()
    )


def test_other_weights_are_refused(options, whole, run_folder, tmp_path):
    shutil.copytree(whole, tmp_path / "out")
    weights = torch.load(run_folder / "model_best.pth", weights_only=True)
    next(iter(weights["model"].values())).mul_(1.01)
    torch.save(weights, tmp_path / "other.pth")
    outcome = run_tool(
        "predict.py",
        *(options[0], "--checkpoint", tmp_path / "other.pth", "--device", "cpu"),
        *("--config-file", run_folder / "config.yaml", "--output", tmp_path / "out"),
    )
    assert_refused(outcome, "was written with weights=")
    assert contents(tmp_path / "out") == contents(whole)
