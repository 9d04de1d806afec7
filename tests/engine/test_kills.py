"""Runs that are killed inside of any write, and resumed, leave what a run without a stop leaves."""

import json
import math
import multiprocessing
import os
import signal
from unittest import mock

import pytest
import torch
from detectron2.engine import hooks
from detectron2.utils.env import seed_all_rng
from torch import nn
from toy_detector import ToyDetector

from medmask.checkpoint import MedMaskCheckpointer
from medmask.engine import MedMaskTrainer
from medmask.engine.evaluation_hook import EvaluationHook
from medmask.engine.last_step_checkpointer import LastStepCheckpointer
from medmask.engine.metric_values import TIMES
from medmask.engine.periodic_checkpointer import PeriodicCheckpointer
from medmask.engine.progress import MetricsFile, MetricWriters
from medmask.utils.files import remove_abandoned_files

MAX_ITER = 7
FORK = multiprocessing.get_context("fork")


class Numbers:
    def iterate_from(self, iteration):
        while True:
            yield torch.full((2, 1), 0.1 + iteration)
            iteration += 1


class Model(ToyDetector):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, 2), nn.Dropout(0.5), nn.Linear(2, 1))

    def losses(self, x):
        return {"loss": (self.layers(x) - 1).square().mean()}


class Average(hooks.HookBase):
    """A second model, as a teacher is."""

    def __init__(self, model):
        self.model = model

    def after_step(self):
        for mine, other in zip(
            self.model.parameters(), self.trainer.model.parameters(), strict=True
        ):
            mine.data.lerp_(other.data, 0.5)

    def state_dict(self):
        return self.model.state_dict()

    def load_state_dict(self, state):
        self.model.load_state_dict(state)


def train(folder, log_period=1):
    """Train as the tool does, a model of two layers."""
    folder.mkdir(exist_ok=True)
    remove_abandoned_files(folder)
    seed_all_rng(0)
    model, teacher = Model(), Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    trainer = MedMaskTrainer(model, Numbers(), optimizer, clip_gradient_norm=1.0)
    parts = {"optimizer": optimizer, "trainer": trainer}
    checkpointer = MedMaskCheckpointer(model, str(folder), **parts)

    def evaluate(evaluated, name):
        # goes up and down, so that some results are the best so far
        weight = sum(p.sum().item() for p in evaluated.parameters())
        return {"score": math.sin(100 * weight), "undefined": math.nan}

    trainer.register_hooks(
        [
            Average(teacher),
            LastStepCheckpointer(checkpointer),
            PeriodicCheckpointer(checkpointer, 3, max_to_keep=2),
            EvaluationHook(2, evaluate, checkpointer, str(folder), "score", {"teacher": teacher}),
        ]
    )
    start = trainer.iter + 1 if checkpointer.resume() else 0
    writer = MetricsFile(folder / "metrics.json", start, trainer.past_metrics)
    trainer.register_hooks([MetricWriters([writer], period=log_period)])
    trainer.train(start, MAX_ITER)


def train_and_die(folder, log_period, function, number):
    """Train in a process that is killed at the ``number``-th call; returns whether it was."""

    def work():
        calls = 0
        module = {"sin": math}.get(function, os)
        whole = getattr(module, function)

        def count(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(*args, **kwargs)

        with mock.patch.object(module, function, count):
            train(folder, log_period)

    process = FORK.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def contents(folder):
    """All that a run leaves but for times, and for which of its checkpoints are still there."""
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    weights = {
        file: torch.load(folder / file, weights_only=True)
        for file in ("model_best.pth", "model_final.pth", "teacher_best.pth")
    }
    for file in ("model_best.pth", "model_final.pth"):
        del weights[file]["random_states"][0]["numpy"][0]  # a text
    return {
        "metrics": [{k: v for k, v in x.items() if k not in TIMES} for x in lines],
        "evaluations": json.loads((folder / "evaluations.json").read_text()),
        "weights": weights,
    }


def check_kills(folder, log_period, function, numbers):
    """Kill at each of the calls, resume, compare; returns how many kills there were."""
    whole = folder / "whole"
    train(whole, log_period)
    expected = contents(whole)
    kills = 0
    for number in numbers:
        resumed = folder / f"{function}{number}"
        if not train_and_die(resumed, log_period, function, number):
            break
        kills += 1
        train(resumed, log_period)
        actual = contents(resumed)
        assert actual["metrics"] == expected["metrics"], number
        assert actual["evaluations"] == expected["evaluations"], number
        torch.testing.assert_close(actual["weights"], expected["weights"], rtol=0, atol=0)
        assert not list(resumed.glob(".*")), number
    return kills


# os.fsync: what is written is not complete; os.replace: it is, under another name;
# math.sin: in an evaluation
@pytest.mark.parametrize(("function", "at_least"), [("fsync", 15), ("replace", 15), ("sin", 8)])
def test_kill_inside_of_any_write_or_evaluation(tmp_path, function, at_least):
    assert check_kills(tmp_path, 1, function, range(1, 100)) >= at_least


@pytest.mark.slow
@pytest.mark.parametrize("log_period", [2, 3, 5])
@pytest.mark.parametrize("function", ["fsync", "replace", "sin", "chmod"])
def test_kills_with_other_periods(tmp_path, function, log_period):
    assert check_kills(tmp_path, log_period, function, range(1, 100)) > 7


def test_cut_checkpoint_gives_way_to_the_one_before(tmp_path, caplog):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(whole)
    assert train_and_die(cut, 1, "replace", 12)
    last = cut / (cut / "last_checkpoint").read_text()
    last.write_bytes(last.read_bytes()[:-100])
    train(cut)
    assert f"going on from {cut}/model_" in caplog.text
    torch.testing.assert_close(contents(cut)["weights"], contents(whole)["weights"], rtol=0, atol=0)
