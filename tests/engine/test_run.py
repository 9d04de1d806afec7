"""Parts of a run by themselves; whole runs are in tests/tools."""

import pytest
from detectron2.evaluation.evaluator import inference_context
from torch import nn

from medmask.engine.run import OneByOne


@pytest.mark.parametrize("is_training", [False, True])
def test_an_evaluation_leaves_the_mode_of_the_model_as_it_was(is_training):
    model = nn.Sequential(nn.Dropout()).train(is_training)
    with inference_context(OneByOne(model)):
        assert not model[0].training
    assert model.training is model[0].training is is_training
