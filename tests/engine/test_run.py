"""Parts of a run by themselves; whole runs are in tests/tools."""

import pytest
from detectron2.evaluation.evaluator import inference_context
from torch import nn

from medmask.engine import run
from medmask.engine.run import OneByOne, collect_extra_models, evaluate
from medmask.errors import InputError
from medmask.stages import LossHook


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
    monkeypatch.setattr(run, "release_freed_memory", lambda: calls.append("release"))
    monkeypatch.setattr(run, "build", build)
    with pytest.raises(LoaderIsBuiltError):
        evaluate(None, nn.Identity())
    assert calls == ["release", "dataloader.test"]


class Giving(LossHook):
    """Gives a model beside the trained one."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def extra_models(self):
        return {self.name: nn.Identity()}


def test_models_of_stages_have_names_of_their_own():
    models = collect_extra_models([Giving("average"), LossHook(), Giving("swa")])
    assert list(models) == ["average", "swa"]
    for names in (["average", "average"], ["model"]):
        with pytest.raises(InputError, match=f"Giving gives a model '{names[-1]}', but another"):
            collect_extra_models([Giving(name) for name in names])
