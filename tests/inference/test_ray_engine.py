"""Predictions on a cluster of Ray on this machine, whose processes are killed."""

import os
import secrets
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from toy_image_detector import (
    DEADLY,
    BrightnessDetector,
    make_brightness_detector,
    make_mortal_detector,
    make_nothing,
    write_images,
)

from medmask.errors import InputError
from medmask.inference import PredictionOptions, images_of_files, predict_images
from medmask.inference.prediction_worker import PredictionWork
from medmask.inference.ray_engine import RayEngine
from medmask.inference.stage_seconds import StageSeconds

ray = pytest.importorskip("ray", reason="Ray is not installed")

ROOT = Path(__file__).parents[2]
FILES = ("detections.json", "detections.csv", "images.csv")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """A cluster of two workers, for all tests of this file."""
    paths = [str(ROOT), str(ROOT / "tests" / "fixtures"), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("RAY_worker_niceness", "0")  # else a busy machine starves them
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else one is kept in HOME
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # what others take is none of its own
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=0,
            include_dashboard=False,
            object_store_memory=2**27,
            log_to_driver=False,
        )
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return images_of_files(write_images(tmp_path_factory.mktemp("in"), list(range(10, 40))))


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """The output of a detector in this process."""
    output = tmp_path_factory.mktemp("whole")
    predict_images(BrightnessDetector(), images, output, options=options())
    return output


def options(**values):
    return PredictionOptions(overlays=False, formats=("json", "csv"), **values)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def count_lines(folder):
    """Images in all parts, those of several lines several times."""
    parts = folder.glob("predictions*.jsonl")
    return sum(part.read_bytes().count(b'"status": ') for part in parts)


def test_results_are_those_of_a_detector_here(images, whole, tmp_path):
    with RayEngine(make_brightness_detector) as engine:
        summary = predict_images(engine, images, tmp_path, options=options(batch_size=2))
        assert (summary.images, summary.problems, summary.statuses) == (30, (), {"done": 30})
        assert contents(tmp_path) == contents(whole)
        assert summary.seconds.reading > 0
        again = predict_images(engine, images, tmp_path, options=options())
    assert (again.done_before, again.statuses) == (30, {})
    assert count_lines(tmp_path) == 30


def kill_one(folder, pids, wanted):
    """Kill a process with a model once so many images are done."""
    while count_lines(folder) < wanted:
        time.sleep(0.01)
    victims = sorted(pids.iterdir())
    os.kill(int(victims[0].name), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 1])
def test_each_image_once_when_a_worker_is_killed(images, whole, tmp_path, workers):
    pids = tmp_path / "pids"
    pids.mkdir()
    output = tmp_path / "out"
    killer = threading.Thread(target=kill_one, args=(output, pids, 5))
    make = partial(make_brightness_detector, seconds=0.05, pids=pids)
    with RayEngine(make, replicas=2 - workers, workers=workers) as engine:
        killer.start()
        summary = predict_images(engine, images, output, options=options())
    killer.join()
    assert len(list(pids.iterdir())) >= 2  # one alone is replaced; of two the other may do the rest
    assert (summary.images, summary.problems, summary.statuses) == (30, (), {"done": 30})
    assert count_lines(output) == 30
    assert contents(output) == contents(whole)


def test_image_that_kills_the_model_costs_no_other(tmp_path):
    paths = write_images(tmp_path / "in", [10, 20, DEADLY, 30, 40, 50])
    with RayEngine(make_mortal_detector, replicas=1) as engine:
        summary = predict_images(
            engine, images_of_files(paths), tmp_path / "out", options=options()
        )
    assert summary.statuses == {"done": 5, "failed": 1}
    (problem,) = summary.problems
    assert str(paths[2]) in problem
    assert "ended the process with the model 2 times" in problem


def test_engine_serves_after_a_run_that_ended_early(images, whole, tmp_path):
    others = images_of_files(write_images(tmp_path / "in", [200] * 30))
    with RayEngine(partial(make_brightness_detector, seconds=0.05), replicas=1) as engine:
        work = PredictionWork(options(), engine.labels)
        run = engine.predict(iter(enumerate(others)), len(others), work, StageSeconds())
        assert next(run).record.path == str(others[0].path)
        run.close()
        summary = predict_images(engine, images, tmp_path / "out", options=options())
    assert (summary.problems, summary.statuses) == ((), {"done": 30})
    assert count_lines(tmp_path / "out") == 30
    assert contents(tmp_path / "out") == contents(whole)


def test_pictures_are_those_of_a_detector_here(images, tmp_path):
    few = images[:3]
    predict_images(BrightnessDetector(), few, tmp_path / "here")
    with RayEngine(make_brightness_detector, replicas=1) as engine:
        predict_images(engine, few, tmp_path / "there")
    pictures = sorted((tmp_path / "here" / "overlays").iterdir())
    assert len(pictures) == 3
    for picture in pictures:
        assert (tmp_path / "there" / "overlays" / picture.name).read_bytes() == picture.read_bytes()


def test_what_cannot_start_is_refused():
    with (
        pytest.raises(InputError, match=r"cannot load the model \(no weights here\)"),
        RayEngine(partial(make_nothing, ValueError("no weights here"))),
    ):
        pass
    with (
        pytest.raises(InputError, match=r"^m\.pth does not exist$"),
        RayEngine(partial(make_nothing, InputError("m.pth does not exist"))),
    ):
        pass
    with (
        pytest.raises(InputError, match="no machine of the cluster has the 51 cores and 0 GPUs"),
        RayEngine(make_brightness_detector, workers=50),
    ):
        pass
    with pytest.raises(InputError, match="at least 1, got 0"):
        RayEngine(make_brightness_detector, replicas=0)


def test_copies_of_different_models_are_refused(images, tmp_path):
    make = partial(make_brightness_detector, seconds=0.2, weights_of_process=True)
    with RayEngine(make, replicas=2) as engine:
        with pytest.raises(InputError, match="give all machines the same files"):
            predict_images(engine, images, tmp_path, options=options())
        assert len(engine._replicas.handles) == 1  # a further run has no copy of the other model
