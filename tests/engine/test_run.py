"""Parts of a run by themselves; whole runs are in tests/tools."""

import pytest
from torch import nn

from medmask.engine.run import collect_extra_models
from medmask.errors import InputError
from medmask.stages import LossHook


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
