import copy
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn
from toy_detector import ToyDetector

from medmask.engine import MedMaskTrainer
from medmask.errors import InputError
from medmask.modeling import Domain
from medmask.stages.loss_hook import LossHook


class Stream:
    """Batches that are numbers: iteration i gives (i + 1) / 10."""

    def iterate_from(self, iteration):
        while True:
            iteration += 1
            yield torch.tensor([[iteration / 10]])


class Regression(ToyDetector):
    """Two losses of a linear model on a number."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.factor = factor

    def losses(self, x):
        y = self.linear(x).float()
        return {"loss_a": self.factor * (y - 1).square().mean(), "loss_b": 0.1 * y.abs().mean()}


def make_trainer(model, clip=1e9, **kwargs):
    for hook in kwargs.get("loss_hooks", ()):
        hook.build(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    return MedMaskTrainer(model, Stream(), optimizer, clip_gradient_norm=clip, **kwargs)


def test_a_step_is_gradient_descent_on_the_sum_of_losses():
    model = Regression()
    expected = copy.deepcopy(model)
    sum(expected.losses(torch.tensor([[0.1]])).values()).backward()
    make_trainer(model).train(0, 1)
    for p, q in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q - 0.01 * q.grad)


def test_loader_that_cannot_be_resumed_is_refused():
    """Such as Detectron2's own."""
    model = Regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = torch.utils.data.DataLoader([torch.zeros(1)])
    with pytest.raises(InputError, match=r"is a DataLoader, .*build_train_loader"):
        MedMaskTrainer(model, loader, optimizer, clip_gradient_norm=1.0)


def test_long_gradients_are_clipped_and_their_norm_is_logged():
    model = Regression(factor=100.0)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    trainer = make_trainer(model, clip=0.5)
    trainer.train(0, 1)
    moved = (nn.utils.parameters_to_vector(model.parameters()) - before).norm()
    torch.testing.assert_close(moved.item(), 0.01 * 0.5, rtol=1e-4, atol=0)
    assert trainer.storage.latest()["gradient_norm"][0] > 0.5


def test_training_starts_at_the_batch_of_the_iteration():
    whole, first, second = (Regression() for _ in range(3))
    first.load_state_dict(whole.state_dict())
    make_trainer(whole).train(0, 5)
    make_trainer(first).train(0, 2)
    second.load_state_dict(first.state_dict())
    make_trainer(second).train(2, 5)
    for p, q in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_stops_before_the_update(factor):
    model = Regression(factor)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(FloatingPointError, match=r"iteration 0.*lower optimizer\.lr"):
        make_trainer(model).train(0, 3)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_in_half_precision_the_gradient_is_clipped_without_its_scale():
    model = Regression(factor=0.1)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    trainer = make_trainer(model, clip=1e-3, amp_dtype=torch.float16)
    trainer.train(0, 1)
    assert 1e-3 < trainer.storage.latest()["gradient_norm"][0] < 1
    moved = (nn.utils.parameters_to_vector(model.parameters()) - before).norm()
    torch.testing.assert_close(moved.item(), 0.01 * 1e-3, rtol=0.02, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_comes_near_full_precision(dtype):
    torch.manual_seed(0)
    model = Regression(factor=0.1)  # gradients that survive being scaled up in half precision
    half = copy.deepcopy(model)
    start = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    make_trainer(model).train(0, 4)
    trainer = make_trainer(half, amp_dtype=dtype)
    trainer.train(0, 4)
    assert trainer.grad_scaler.is_enabled() == (dtype is torch.float16)
    moved, moved_half = (
        nn.utils.parameters_to_vector(m.parameters()) - start for m in (model, half)
    )
    torch.testing.assert_close(moved, moved_half, rtol=0.02, atol=1e-5)


def test_scaler_state_is_in_the_checkpoint():
    trainer = make_trainer(Regression(factor=0.1), amp_dtype=torch.float16)
    trainer.train(0, 3)
    other = make_trainer(Regression(), amp_dtype=torch.float16)
    other.load_state_dict(trainer.state_dict())
    assert other.grad_scaler.state_dict() == trainer.grad_scaler.state_dict()
    assert other.grad_scaler.state_dict()["_growth_tracker"] == 3


def test_accumulated_gradients_are_the_mean_over_batches():
    model = Regression()
    expected = copy.deepcopy(model)
    loss = sum(sum(expected.losses(torch.tensor([[x]])).values()) for x in (0.3, 0.4)) / 2
    loss.backward()
    trainer = make_trainer(model, gradient_accumulation=2)
    trainer.train(1, 2)  # the second update takes the third and the fourth batch
    for p, q in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q - 0.01 * q.grad)
    torch.testing.assert_close(trainer.storage.latest()["total_loss"][0], loss.item())


class ExampleHook(LossHook):
    """A loss on the outputs of the labeled step, one of an own step, and a state."""

    def __init__(self, loader=None):
        super().__init__(loader)
        self.seen = 0.0

    def build(self, detector):
        self.detector = detector

    def output_losses(self, step):
        assert step.domain is Domain.SOURCE
        return {"loss_weight": 0.5 * self.detector.linear.weight.sum().square()}

    def step_losses(self):
        batch = self.next_batch()
        self.seen += batch.item()
        step = self.trainer.model(batch, step=None)
        return {"loss_own": 2 * step.losses["loss_a"]}

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state_dict):
        self.seen = state_dict["seen"]


class OtherHook(ExampleHook):
    pass


class Stateful(LossHook):
    """Adds no loss."""

    def state_dict(self):
        return {"seen": self.seen}


def test_losses_of_hooks_join_the_step():
    model = Regression()
    expected = copy.deepcopy(model)
    x = torch.tensor([[0.1]])
    supervised = sum(expected.losses(x).values())
    own = 2 * expected.losses(x)["loss_a"]
    (supervised + own + 0.5 * expected.linear.weight.sum().square()).backward()
    trainer = make_trainer(model, loss_hooks=[ExampleHook(Stream())])
    trainer.train(0, 1)
    for p, q in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q - 0.01 * q.grad)
    assert {"loss_own", "loss_weight", "total_loss"} <= trainer.storage.latest().keys()


def test_hooks_resume_their_stream_and_their_state():
    def train(model, start, stop, state=None):
        trainer = make_trainer(model, loss_hooks=[ExampleHook(Stream())], gradient_accumulation=2)
        if state:
            trainer.load_state_dict(state)
        trainer.train(start, stop)
        return trainer

    whole, resumed = Regression(), Regression()
    resumed.load_state_dict(whole.state_dict())
    expected = train(whole, 0, 4)
    first = train(resumed, 0, 2)
    second = train(resumed, 2, 4, first.state_dict())
    assert second.loss_hooks[0].seen == expected.loss_hooks[0].seen == pytest.approx(3.6)
    for p, q in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(p, q)


def test_checkpoint_of_a_run_with_other_hooks_is_refused():
    trainer = make_trainer(Regression(), loss_hooks=[ExampleHook(Stream())])
    trainer.train(0, 1)
    other = make_trainer(Regression(), loss_hooks=[OtherHook(Stream())])
    with pytest.raises(InputError, match="no state of the loss hook OtherHook"):
        other.load_state_dict(trainer.state_dict())


@pytest.mark.parametrize(
    ("at_start", "later", "message"),
    [
        (0.0, np.mean([1, 2]), r"seen as a numpy\.float64, which cannot be read .*: give tensors"),
        ([], [deque([1])], r"seen\.0 as a collections\.deque"),
        (0.0, torch.ones(()), r"has a Tensor of torch\.float32 and shape \(\) as seen"),
        (torch.ones(0, 4), torch.ones(2, 4), r"shape \(2, 4\) as seen\).* what grows goes into a"),
        (0.0, float("nan"), r"has nan as seen"),
    ],
    ids=["number-of-numpy", "deque", "number-to-tensor", "grown", "nan"],
)
def test_state_that_no_run_could_be_resumed_from_ends_the_run_at_once(at_start, later, message):
    class Faulty(Stateful):
        def after_step(self):
            self.seen = later

    hook = Faulty()
    hook.seen = at_start
    trainer = make_trainer(Regression(), loss_hooks=[hook])
    with pytest.raises(InputError, match=rf"Faulty\.state_dict .*{message}"):
        trainer.train(0, 5)
    assert trainer.iter == 0
    with pytest.raises(InputError, match=message):  # a checkpoint
        trainer.state_dict()


def test_state_that_grows_in_a_list_is_kept():
    class Growing(Stateful):
        def after_step(self):
            self.seen = [*self.seen, torch.ones(2)]

    hook = Growing()
    hook.seen = []
    trainer = make_trainer(Regression(), loss_hooks=[hook])
    trainer.train(0, 3)
    assert len(trainer.state_dict()["hooks"][Growing.__qualname__]["seen"]) == 3


def test_two_hooks_of_a_class_are_refused():
    with pytest.raises(InputError, match="2 of ExampleHook"):
        make_trainer(Regression(), loss_hooks=[ExampleHook(), ExampleHook()])


@pytest.mark.parametrize("has_state", [True, False])
def test_hooks_of_a_class_with_a_state_are_refused_whatever_they_train(has_state):
    """A checkpoint would hold the state of the first one alone."""

    def make_hook(name):
        hook = ExampleHook() if has_state else LossHook()
        hook.module_name = name
        return hook

    hooks = [make_hook("first"), make_hook("second")]
    if not has_state:
        assert make_trainer(Regression(), loss_hooks=hooks).loss_hooks == hooks
        return
    with pytest.raises(InputError, match="2 of ExampleHook"):
        make_trainer(Regression(), loss_hooks=hooks)


def test_accumulating_nothing_is_refused():
    with pytest.raises(InputError, match=r"train\.gradient_accumulation"):
        make_trainer(Regression(), gradient_accumulation=0)


def test_hooks_learn_the_length_of_the_run_before_it_starts():
    class Planner(LossHook):
        def set_run_length(self, max_iter):
            self.length = max_iter

        def before_train(self):
            self.known_in_time = self.length == self.trainer.max_iter

    hook = Planner()
    make_trainer(Regression(), loss_hooks=[hook]).train(1, 3)
    assert hook.known_in_time
    assert hook.length == 3


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ({"loss_a": torch.zeros(())}, "gives a loss loss_a, but another .* rename it"),
        (None, "Faulty gives its losses as NoneType: return a dict"),
        ({"c": torch.zeros(())}, "gives a loss c, but names of losses begin .* call it loss_c"),
        ({"gradient_norm": torch.zeros(())}, "call it loss_gradient_norm"),
        ({"loss_c": 0.5}, "gives loss_c as float: return a tensor"),
        ({"loss_c": torch.zeros(3)}, r"gives loss_c as Tensor of shape \(3,\): .* such as a mean"),
        ({"loss_c": torch.zeros(1)}, r"of shape \(1,\)"),
    ],
    ids=[
        "a-name-twice",
        "no-loss-by-name",
        "a-metric",
        "no-dict",
        "no-tensor",
        "a-vector",
        "one-value",
    ],
)
@pytest.mark.parametrize("method", ["output_losses", "step_losses"])
def test_losses_of_a_hook_that_are_none_are_refused(method, losses, message):
    class Faulty(LossHook):
        pass

    setattr(Faulty, method, lambda *_: losses)
    trainer = make_trainer(Regression(), loss_hooks=[Faulty()])
    with pytest.raises(InputError, match=message):
        trainer.train(0, 1)


def test_losses_that_the_processes_do_not_share_are_refused(monkeypatch):
    """Such as one of a hook that adds it where the batch has lesions."""
    monkeypatch.setattr(
        "medmask.engine.trainer.tell_everybody",
        lambda message: [message, ({"loss_a": 1.0, "gradient_norm": 1.0}, 0.0, None)],
    )
    trainer = make_trainer(Regression())
    with pytest.raises(InputError, match=r"process 1 of 2 has no loss_b .*0 \* parameter\.sum"):
        trainer.train(0, 1)


def test_parameters_without_a_gradient_are_told_once(caplog):
    model = Regression()
    model.unused, model.frozen = nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False)
    make_trainer(model).train(0, 3)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "2 of 4 trained parameters" in warning
    assert "unused.bias, unused.weight" in warning


def test_nothing_is_told_where_all_parameters_have_a_gradient(caplog):
    make_trainer(Regression()).train(0, 2)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
