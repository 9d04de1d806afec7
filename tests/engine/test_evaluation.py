"""Parts of an evaluation by themselves; whole ones are in tests/tools."""

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
