import pytest
import torch

from medmask.errors import InputError
from medmask.stages import WeightAveragingHook
from medmask.stages.domain_adversarial import DomainAdversarialHook
from medmask.stages.mean_teacher import FixedThreshold, TeacherHook


def floats(model):
    weights = model.state_dict()
    return {k: v.double().clone() for k, v in weights.items() if v.is_floating_point()}


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.998])
def test_average_follows_its_law(make_detector, make_trainer, decay):
    hook = WeightAveragingHook(decay=decay)
    trainer = make_trainer(make_detector(), hook)
    expected = floats(trainer.detector)
    weights = []
    after_step = hook.after_step
    hook.after_step = lambda: (weights.append(floats(trainer.detector)), after_step())
    trainer.train(0, 4)
    for step, current in enumerate(weights, start=1):
        kept = min(decay, (1 + step) / (10 + step))
        expected = {k: kept * v + (1 - kept) * current[k] for k, v in expected.items()}
    torch.testing.assert_close(floats(hook.average), expected, rtol=1e-5, atol=1e-6)
    if decay:
        assert any(not torch.equal(v, weights[-1][k]) for k, v in floats(hook.average).items())


def test_training_does_not_notice(make_detector, make_trainer):
    ends = []
    for hooks in ((), (WeightAveragingHook(),)):
        trainer = make_trainer(make_detector(), *hooks)
        trainer.train(0, 2)
        ends.append(floats(trainer.detector))
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0)


def test_average_is_the_bare_detector(make_detector, make_trainer, pairs):
    """Whatever other hooks train; it is no parameter of the optimizer."""
    hook = WeightAveragingHook()
    teacher = TeacherHook(loader=pairs, threshold=FixedThreshold(value=0.3))
    trainer = make_trainer(make_detector(), DomainAdversarialHook(), teacher, hook)
    trainer.train(0, 1)
    assert hook.extra_models() == {"average": hook.average}
    assert hook.average.state_dict().keys() == make_detector().state_dict().keys()
    optimized = {p for group in trainer.optimizer.param_groups for p in group["params"]}
    assert optimized.isdisjoint(hook.average.parameters())


def test_resumed_average_repeats_the_whole_run(check_resume):
    check_resume(lambda: (WeightAveragingHook(decay=0.9),), stop_at=2, max_iter=4)


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_senseless_decay_is_named(decay):
    with pytest.raises(InputError, match="decay"):
        WeightAveragingHook(decay=decay)
