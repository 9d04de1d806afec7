"""Parts of an evaluation by themselves; whole ones are in tests/tools."""

import contextlib

import numpy as np
import pytest
from detectron2.evaluation.evaluator import inference_context
from torch import nn

from medmask.engine import evaluation
from medmask.engine.evaluation import OneByOne, evaluate


@pytest.mark.parametrize("is_training", [False, True])
def test_an_evaluation_leaves_the_mode_of_the_model_as_it_was(is_training):
    model = nn.Sequential(nn.Dropout()).train(is_training)
    with inference_context(OneByOne(model)):
        assert not model[0].training
    assert model.training is model[0].training is is_training


def test_an_evaluation_returns_memory_before_its_loader_starts_processes(monkeypatch):
    class LoaderIsBuiltError(Exception):
        pass

    def build(config, key):
        calls.append(key)
        raise LoaderIsBuiltError

    calls = []
    monkeypatch.setattr(evaluation, "release_freed_memory", lambda: calls.append("release"))
    monkeypatch.setattr(evaluation, "build", build)
    with pytest.raises(LoaderIsBuiltError):
        evaluate(None, nn.Identity())
    assert calls == ["release", "dataloader.test"]


def test_results_of_an_evaluator_are_numbers_that_files_take(monkeypatch):
    monkeypatch.setattr(evaluation, "build", lambda *_: [])
    monkeypatch.setattr(evaluation, "build_evaluators", lambda _: [])
    monkeypatch.setattr(evaluation, "autocast", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(
        evaluation, "inference_on_dataset", lambda *_: {"own": {"a": np.float32(0.5)}}
    )
    assert type(evaluate(None, nn.Identity())["own"]["a"]) is float
