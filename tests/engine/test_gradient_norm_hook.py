import copy
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig
from torch import nn

from medmask.engine.gradient_norm_hook import GradientNormHook
from medmask.stages.loss_hook import LossHook


class MemoryHook(LossHook):
    """A loss on the encoder's output."""

    def output_losses(self, step):
        return {"loss_memory": step.outputs.memory.square().mean()}


class Recorder(LossHook):
    """Remembers the metrics of each iteration."""

    def __init__(self):
        super().__init__()
        self.metrics = []

    def after_step(self):
        latest = self.trainer.storage.latest()
        now = {k: v for k, (v, iteration) in latest.items() if iteration == self.trainer.iter}
        self.metrics.append({k: v for k, v in now.items() if k.startswith("gradient_norm/")})


def train(make_detector, make_trainer, *hooks, **options):
    trainer = make_trainer(make_detector(), MemoryHook(), *hooks, **options)
    torch.manual_seed(7)
    trainer.train(0, 4)
    return trainer


def test_norms_are_logged_every_period_and_change_nothing(make_detector, make_trainer):
    recorder = Recorder()
    watched = train(make_detector, make_trainer, GradientNormHook(period=2), recorder)
    other = train(make_detector, make_trainer)
    for p, q in zip(watched.detector.parameters(), other.detector.parameters(), strict=True):
        assert torch.equal(p, q)
    first, second, third, fourth = recorder.metrics
    assert not first
    assert not third
    parts = ("backbone", "encoder", "decoder")
    names = {f"gradient_norm/{g}/{p}" for g in ("detection", "memory") for p in parts}
    assert second.keys() == fourth.keys() == names
    assert second["gradient_norm/memory/encoder"] > 0
    assert second["gradient_norm/memory/decoder"] == 0
    assert second != fourth


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_norms_are_those_of_the_gradient_of_the_update(
    make_detector, make_trainer, accumulation
):
    """With detection alone, the gradient of each part is what the optimizer gets."""
    hook = GradientNormHook(period=1)
    trainer = make_trainer(make_detector(), hook, gradient_accumulation=accumulation)
    trainer.clip_gradient_norm = 1e9
    torch.manual_seed(7)
    trainer.train(0, 1)
    detector = trainer.detector
    parts = {
        "backbone": detector.backbone,
        "encoder": detector.transformer.encoder,
        "decoder": detector.transformer.decoder,
    }
    for name, part in parts.items():
        gradients = [p.grad for p in part.parameters()]
        expected = nn.utils.get_total_norm(gradients).item()
        logged = trainer.storage.latest()[f"gradient_norm/detection/{name}"][0]
        assert logged == pytest.approx(expected, rel=1e-5)


class ManyLosses(LossHook):
    """As many losses as the distillation of an expert has at most."""

    def output_losses(self, step):
        mean = step.outputs.memory.square().mean()
        return {f"loss_{name}": 0.1 * mean for name in "abcde"}


def test_measuring_is_at_most_three_percent_of_the_backward_passes(make_detector, make_trainer):
    page = Path(__file__).parents[2] / "configs" / "common" / "train.py"
    period = LazyConfig.load(str(page)).train.gradient_norm_period
    passes = []
    for hooks in ([], [GradientNormHook(period=1)]):
        trainer = make_trainer(make_detector(), ManyLosses(), *hooks)
        gradients = []

        def watch(module, inputs, output, gradients=gradients):
            output.register_hook(gradients.append)

        trainer.detector.transformer.encoder.register_forward_hook(watch)
        trainer.train(0, 1)
        passes.append(len(gradients))
    step, measured = passes
    assert measured == step + 6
    assert measured - step <= 0.03 * period * step


class TinyDetector(nn.Module):
    """The parts of a detector, with a step that autocasts to half precision everywhere."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(4, 4)
        self.transformer = nn.Module()
        self.transformer.encoder = nn.Linear(4, 4)
        self.transformer.decoder = nn.Linear(4, 1)


class TinyStep(LossHook):
    """A weak loss, of which half precision loses the gradient unless it is scaled up."""

    def step_losses(self):
        detector = self.trainer.detector
        x = detector.backbone(torch.ones(2, 4))
        y = detector.transformer.decoder(detector.transformer.encoder(x))
        return {"loss_weak": 1e-7 * y.float().mean()}


def test_norms_in_half_precision_are_those_without_the_scale(make_trainer, monkeypatch):
    detector = TinyDetector()
    reference = copy.deepcopy(detector).double()
    y = reference.transformer.decoder(
        reference.transformer.encoder(reference.backbone(torch.ones(2, 4, dtype=torch.float64)))
    )
    (1e-7 * y.mean()).backward()
    hook = GradientNormHook(period=1)
    trainer = make_trainer(detector, TinyStep(), hook, amp_dtype=torch.float16)
    monkeypatch.setattr(trainer, "supervised_losses", lambda batch, domain: {})
    trainer.train(0, 1)
    assert trainer.grad_scaler.get_scale() > 1
    expected = nn.utils.get_total_norm([p.grad for p in reference.backbone.parameters()]).item()
    logged = trainer.storage.latest()["gradient_norm/weak/backbone"][0]
    assert logged == pytest.approx(expected, rel=0.01)
