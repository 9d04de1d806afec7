import itertools
import math

import pytest
import torch

from medmask.errors import InputError
from medmask.stages.image_labels import LogSumExpPooling, NoisyOrPooling


def test_noisy_or_is_the_probability_that_not_all_are_negative():
    """Against the sum over all outcomes in which some query is positive."""
    logits = torch.randn(2, 6, dtype=torch.float64) * 2
    pooled = NoisyOrPooling()(logits).sigmoid()
    for image, value in zip(logits.sigmoid().tolist(), pooled.tolist(), strict=True):
        expected = sum(
            math.prod(p if positive else 1 - p for p, positive in zip(image, outcome, strict=True))
            for outcome in itertools.product([True, False], repeat=6)
            if any(outcome)
        )
        assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sharpness", [0.5, 5.0])
def test_smooth_maximum_is_its_definition(sharpness):
    logits = torch.randn(3, 7, dtype=torch.float64)
    pooled = LogSumExpPooling(sharpness=sharpness)(logits)
    for image, value in zip(logits.tolist(), pooled.tolist(), strict=True):
        mean = sum(math.exp(sharpness * x) for x in image) / 7
        assert value == pytest.approx(math.log(mean) / sharpness, rel=1e-12)
        assert sum(image) / 7 <= value <= max(image)


def test_smooth_maximum_goes_from_mean_to_maximum():
    logits = torch.randn(3, 50, dtype=torch.float64)
    torch.testing.assert_close(
        LogSumExpPooling(sharpness=1e-6)(logits), logits.mean(1), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        LogSumExpPooling(sharpness=1e4)(logits), logits.amax(1), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("pooling", [LogSumExpPooling(), NoisyOrPooling()], ids=["lse", "or"])
def test_gradients_are_right_and_finite_at_the_ends(pooling):
    logits = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pooling, logits)
    for value in (-200.0, -30.0, 30.0, 200.0):
        extreme = torch.full((1, 300), value, requires_grad=True)
        pooled = pooling(extreme)
        pooled.sum().backward()
        assert torch.isfinite(pooled).all()
        assert torch.isfinite(extreme.grad).all()


@pytest.mark.parametrize("pooling", [LogSumExpPooling(), NoisyOrPooling()], ids=["lse", "or"])
def test_one_query_is_its_image(pooling):
    logits = torch.tensor([[-3.0], [0.5]], dtype=torch.float64)
    torch.testing.assert_close(pooling(logits), logits[:, 0])


@pytest.mark.parametrize("sharpness", [0, -1.0, float("nan")])
def test_senseless_sharpness_is_refused(sharpness):
    with pytest.raises(InputError, match="LogSumExpPooling: sharpness is"):
        LogSumExpPooling(sharpness=sharpness)
