import logging
import re
from types import SimpleNamespace

import pytest
import torch
from detectron2.config import LazyConfig
from detectron2.engine import TrainerBase
from omegaconf import OmegaConf

from medmask.checkpoint import MedMaskCheckpointer
from medmask.data.loaders import load_dataset_dicts
from medmask.engine import learning
from medmask.engine.evaluation_hook import EvaluationHook
from medmask.engine.learning import LearningReport, to_table
from medmask.stages.learning import LearningMeasure
from medmask.stages.loss_hook import LossHook


class CountingTrainer(TrainerBase):
    """Takes steps that do nothing."""

    def run_step(self):
        pass


class MeasuredHook(LossHook):
    """Gives the measures of a test; acts for some iterations."""

    def __init__(self, num_iterations, **measures):
        super().__init__()
        self.num_iterations = num_iterations
        self.measures = measures
        self.seen = []

    def last_iteration(self):
        return self.num_iterations

    def measure_learning(self, samples):
        self.seen = list(samples)
        return self.measures


@pytest.fixture
def make_report(all_datasets, monkeypatch):
    """Builds a report on two of the four images of a small data set."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(all_datasets))
    page = LazyConfig.load("configs/medmask/ddsm/source_only.py")
    config = OmegaConf.create({"dataloader": {}, "train": {"held_out_images": 2}})
    config.dataloader.test = page.dataloader.test
    config.dataloader.test.dataset = "ddsm_val"
    return lambda *hooks, **train: LearningReport(
        OmegaConf.merge(config, {"train": train}) if train else config, hooks
    )


GOOD, BAD = LearningMeasure(0.4, 0.0), LearningMeasure(0.02, 0.01, margin=0.02)
UNKNOWN = LearningMeasure(float("nan"), 0.0)


def test_values_and_constants_are_results_and_a_table(make_report, caplog):
    hook = MeasuredHook(10, good=GOOD, bad=BAD)
    with caplog.at_level(logging.INFO, "medmask"):
        values = make_report(hook).measure(5)
    assert values == {
        "learning/good": 0.4,
        "learning/good_constant": 0.0,
        "learning/good_beats_constant": 1.0,
        "learning/bad": 0.02,
        "learning/bad_constant": 0.01,
        "learning/bad_beats_constant": 0.0,
    }
    assert "| good      | 0.400   | 0.000      | yes             |" in caplog.text
    assert "| bad       | 0.020   | 0.010      | NO              |" in caplog.text
    assert not [r for r in caplog.records if r.levelno == logging.WARNING]  # it may still learn
    assert "| unknown   | none    | 0.000      | NO              |" in to_table(
        {"unknown": UNKNOWN}
    )


def test_one_warning_at_the_end_names_all_that_have_not_learned(make_report, caplog):
    hooks = MeasuredHook(10, good=GOOD, bad=BAD, unknown=UNKNOWN), MeasuredHook(20, late=BAD)
    with caplog.at_level(logging.WARNING, "medmask"):
        make_report(*hooks).measure(10)
    (warning,) = caplog.messages
    assert "by more than chance gives: bad is 0.020 (0.010); nothing to measure by: unk" in warning
    assert "good" not in warning
    assert "late" not in warning


def test_held_out_images_are_the_same_each_time_and_have_boxes(make_report):
    hook = MeasuredHook(10)
    report = make_report(hook)
    report.measure(1)
    first = hook.seen
    report.measure(2)
    assert [x["image_id"] for x in first] == [x["image_id"] for x in hook.seen] == [1, 3]
    assert [x["random_seed"] for x in first] == [0, 1]
    assert len(first[0]["instances"]) == 1


def test_progress_and_time_left_are_told(make_report, monkeypatch, caplog):
    monkeypatch.setattr(learning, "REPORT_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, "medmask"):
        make_report(MeasuredHook(10, good=GOOD)).measure(1)
    assert re.search(r"Learning of MeasuredHook: 1 of 2 images, \d+ s left", caplog.text)


@pytest.mark.parametrize("dataset", ["ddsm_val", "ddsm_train"])
def test_images_that_a_stage_trains_on_are_not_held_out(make_report, dataset, caplog):
    hook = MeasuredHook(10, good=GOOD)
    hook.loader = SimpleNamespace(stream=SimpleNamespace(dataset_dicts=load_dataset_dicts(dataset)))
    silent = MeasuredHook(10)
    silent.loader = hook.loader
    report = make_report(hook, silent)
    with caplog.at_level(logging.WARNING, "medmask"):
        report.measure(1)
        report.measure(2)
    warning = "MeasuredHook trains on 2 of the 2 images of dataloader.test"
    assert [message[: len(warning)] for message in caplog.messages] == (
        [warning] if dataset == "ddsm_val" else []
    )


def test_stages_see_the_held_out_images_before_training(make_report, monkeypatch):
    given = []
    monkeypatch.setattr(MeasuredHook, "check_held_out", lambda self, x: given.append(x))
    hook = MeasuredHook(10, good=GOOD)
    report = make_report(hook)
    report.check()
    report.measure(5)
    ((first, second),) = given
    assert [first["image_id"], second["image_id"]] == [x["image_id"] for x in hook.seen]
    assert first["annotations"] == hook.seen[0]["annotations"]
    make_report(hook, held_out_images=0).check()
    assert len(given) == 1


def test_none_is_measured_without_images(make_report):
    hook = MeasuredHook(10, bad=BAD)
    report = make_report(hook, held_out_images=0)
    assert report.measure(10) == {}
    assert report.ends() == set()


@pytest.mark.parametrize("start", [0, 3], ids=["whole run", "resumed where a stage ends"])
def test_stages_are_measured_at_evaluations_and_when_they_end(tmp_path, start):
    measured = []

    def measure(iteration):
        measured.append(iteration)
        return {"learning/x": float(iteration)}

    model, trainer = torch.nn.Linear(1, 1), CountingTrainer()
    hook = EvaluationHook(
        4,
        lambda model, name: {"froc": {"R@0.3": 0.5}},
        MedMaskCheckpointer(model, str(tmp_path), trainer=trainer),
        str(tmp_path),
        "froc/R@0.3",
        learning=SimpleNamespace(measure=measure, ends=lambda: {3, 10}),
    )
    trainer.register_hooks([hook])
    trainer.train(start, 10)
    assert measured == [3, 4, 8, 10]
    assert [e["learning/x"] for e in hook.history] == [4, 8, 10]
    assert trainer.storage.history("learning/x").values()[0] == (3.0, 2)
