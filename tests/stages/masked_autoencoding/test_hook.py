"""The hook in a real training loop."""

import copy
from pathlib import Path

import pytest
import torch
from masked_training import assert_same_weights, history, make_model, make_trainer

from medmask.errors import InputError
from medmask.stages.masked_autoencoding import (
    ConstantMaskRatio,
    CosineMaskRatio,
    LossDrivenMaskRatio,
)
from medmask.stages.masked_autoencoding.mask_ratio import MaskRatioSchedule


class Recorder(MaskRatioSchedule):
    """Remembers what it is told."""

    def __init__(self):
        self.asked, self.losses, self.ends = [], [], []

    def ratio(self, progress):
        self.asked.append(progress)
        return 0.5

    def add_loss(self, loss):
        self.losses.append(loss.item())

    def end_iteration(self, iterations):
        self.ends.append((iterations, len(self.losses)))


def test_step_has_the_loss_and_trains_every_parameter():
    model = make_model()
    trainer, _ = make_trainer(model, mask_ratio=CosineMaskRatio(0.9, 0.1))
    trainer.train(0, 2)
    latest = trainer.storage.latest()
    assert latest["loss_mae"][0] > 0
    parts = sum(value for name, (value, _) in latest.items() if name.startswith("loss_"))
    assert latest["total_loss"][0] == pytest.approx(parts)
    assert history(trainer, "mask_ratio") == pytest.approx([0.9, 0.5])
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("gradient_accumulation", [1, 2])
def test_schedule_hears_of_every_batch(gradient_accumulation):
    schedule = Recorder()
    trainer, hook = make_trainer(
        make_model(),
        mask_ratio=schedule,
        gradient_accumulation=gradient_accumulation,
        weight=3.0,
    )
    trainer.train(0, 4)
    n = gradient_accumulation
    means = [sum(schedule.losses[i : i + n]) / n for i in range(0, 4 * n, n)]
    assert history(trainer, "loss_mae") == pytest.approx([3 * m for m in means], rel=1e-5)
    assert schedule.ends == [(i + 1, (i + 1) * n) for i in range(4)]
    assert schedule.asked == [0, 0.25, 0.5, 0.75]
    assert hook.loader.given == 4 * n


@pytest.mark.parametrize("duration", [2, 0.5])
def test_after_its_end_parameters_take_part_and_no_image_is_loaded(duration):
    model = make_model()
    trainer, hook = make_trainer(model, duration=duration, picture_period=1, num_pictured=0)
    hook._draw = lambda: drawn.append(trainer.iter)
    drawn = []
    trainer.train(0, 4)
    losses = history(trainer, "loss_mae")
    assert min(losses[:2]) > 0
    assert losses[2:] == [0, 0]
    assert hook.loader.given == 2
    assert drawn == [0, 1]
    assert all(p.grad is not None and not p.grad.any() for p in hook.module.parameters())
    assert len(history(trainer, "mask_ratio")) == 2


def test_run_resumed_after_the_end_loads_nothing():
    trainer, hook = make_trainer(make_model(), duration=2)
    hook.loader.iterate_from = lambda iteration: pytest.fail("workers would start, and load")
    trainer.train(2, 4)
    assert history(trainer, "loss_mae") == [0, 0]


@pytest.mark.parametrize(
    ("stop", "target_network", "standardize"),
    [(2, "model", False), (3, "start", True), (5, "average", True)],
    ids=["at_a_period_s_end", "amid_a_period", "later"],
)
def test_resumed_run_repeats_the_whole_run(stop, target_network, standardize):
    def make(model):
        return make_trainer(
            model,
            mask_ratio=LossDrivenMaskRatio(0.5, 0.2, period=2),
            target_network=target_network,
            target_decay=0.5,
            gradient_share=0.3,
            standardize=standardize,
            warmup=4,
        )

    whole, stopped, resumed = make_model(), make_model(), make_model()
    torch.manual_seed(7)
    expected, _ = make(whole)
    expected.train(0, 6)

    torch.manual_seed(7)
    first, _ = make(stopped)
    die_at(first, stop)
    state, generator = first.state_dict(), torch.get_rng_state()
    torch.manual_seed(99)
    second, hook = make(resumed)
    resumed.load_state_dict(stopped.state_dict())
    second.load_state_dict(state)
    torch.set_rng_state(generator)
    second.train(stop, 6)

    assert_same_weights(whole, resumed)
    state, whole_state = hook.state_dict(), expected.loss_hooks[0].state_dict()
    copies = [each["targets"].pop("network") for each in (state, whole_state)]
    assert state == whole_state
    assert all(torch.equal(value, copies[1][name]) for name, value in copies[0].items())
    assert hook.mask_ratio.ratio(1) != 0.5
    for name in ("loss_mae", "mask_ratio"):
        assert history(second, name) == history(expected, name)[stop:]


def die_at(trainer, iteration):
    """Train as part of a run of six iterations, and die."""

    class Killed(Exception):
        pass

    def before_step():
        if trainer.iter == iteration:
            raise Killed
        type(trainer).before_step(trainer)

    trainer.before_step = before_step
    with pytest.raises(Killed):
        trainer.train(0, 6)
    trainer.iter -= 1  # the last that was finished


def test_state_is_plain_data(tmp_path):
    trainer, _ = make_trainer(
        make_model(),
        mask_ratio=LossDrivenMaskRatio(0.5, 0.2, period=2),
        target_network="model",  # another one's weights are tensors
    )
    trainer.train(0, 5)
    torch.save(trainer.state_dict(), tmp_path / "state.pth")
    assert torch.load(tmp_path / "state.pth", weights_only=True) == trainer.state_dict()


def gradients_of(model):
    """Of the loss alone, in each parameter."""
    return {name: p.grad is not None and bool(p.grad.any()) for name, p in model.named_parameters()}


@pytest.mark.parametrize("iteration", [0, 1, 2])
def test_warmup_trains_the_decoder_of_masked_autoencoding_alone(iteration):
    model = make_model()
    trainer, hook = make_trainer(model, warmup=2)
    trainer.train(0, 3)
    trainer.iter = iteration
    trainer.before_step()
    hook._batches = hook.loader.iterate_from(0)
    hook.load(0)
    model.zero_grad()
    hook.step_losses()["loss_mae"].backward()
    for name, has_gradient in gradients_of(model).items():
        if name.startswith("training_modules."):
            assert has_gradient, name
        elif iteration < 2:
            assert not has_gradient, name
    reached = [name for name, has_gradient in gradients_of(model).items() if has_gradient]
    for part in ("backbone.", "neck.", "transformer.encoder."):
        assert any(name.startswith(part) for name in reached) == (iteration == 2)


def test_standardized_loss_of_a_constant_is_the_share_of_channels_that_vary():
    """The mean of each channel is what a decoder without weights gives."""
    model = make_model()
    trainer, hook = make_trainer(model, scope="all", mask_ratio=ConstantMaskRatio(0.9))
    for parameter in hook.module.output_projections.parameters():
        torch.nn.init.zeros_(parameter)
    batch = [hook.loader[0], hook.loader[1]]
    model.backbone.eval()
    with torch.no_grad():
        values = model.backbone(model.preprocess_image(batch).tensor)["res5"]
    varying = (values.transpose(0, 1).flatten(1).var(1) > 0).double().mean().item()
    trainer.train(0, 1)
    assert varying > 0.5
    assert history(trainer, "loss_mae") == pytest.approx([varying], rel=1e-4)


@pytest.mark.parametrize("target_network", ["start", "average", "model"])
def test_target_is_the_map_of_the_network_that_is_named(target_network):
    model = make_model()
    trainer, hook = make_trainer(
        model, target_network=target_network, target_decay=0.25, standardize=False
    )
    start = copy.deepcopy(model.backbone)
    trainer.train(0, 1)
    network = copy.deepcopy(model.backbone)
    if target_network == "start":
        network = start
    if target_network == "average":
        with torch.no_grad():
            for mean, first in zip(network.parameters(), start.parameters(), strict=True):
                mean.lerp_(first, 0.25)
    batch = [hook.loader[0]]
    step = model(batch, step=hook.observation_step())
    network = (model.backbone if target_network == "model" else network.eval()).requires_grad_(
        False
    )
    images = model.preprocess_image(batch)
    if target_network == "average":  # its BatchNorm has averaged statistics
        network.load_state_dict(
            hook.target_maps.network.backbone.state_dict()
            | {name: p for name, p in network.named_parameters()}
        )
    torch.testing.assert_close(step.targets["res5"], network(images.tensor)["res5"])


def test_mixed_precision():
    model = make_model()
    trainer, hook = make_trainer(model, amp_dtype=torch.bfloat16)
    before = hook.module.mask_query.clone()
    trainer.train(0, 2)
    assert torch.tensor(history(trainer, "total_loss")).isfinite().all()
    assert not torch.equal(hook.module.mask_query, before)


def test_decoder_is_made_for_the_detector():
    model = make_model()
    _, hook = make_trainer(model, targets={"res3": (8, 12), "res5": (2, 3)}, num_layers=1)
    assert model.training_modules["masked_autoencoder"] is hook.module
    assert {name: (t.level, t.channels) for name, t in hook.module.targets.items()} == {
        "res3": (0, 48),
        "res5": (2, 96),
    }
    (layer,) = hook.module.layers
    theirs = {n: p.shape for n, p in model.transformer.decoder.layers[0].named_parameters()}
    assert {n: p.shape for n, p in layer.named_parameters()} == theirs


@pytest.mark.parametrize(
    ("targets", "words"),
    [({"res2": (4, 4)}, r"names the map res2, but .* res3, res4, res5"), ({}, "is empty")],
)
def test_map_that_the_detector_does_not_read_is_refused(targets, words):
    with pytest.raises(InputError, match=rf"loss_hooks\.masked_autoencoder\.targets {words}"):
        make_trainer(make_model(), targets=targets)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"masking": "alligned"}, "masking is 'alligned': choose one of aligned, independent"),
        ({"scope": "visible"}, "scope is 'visible': choose one of masked, all"),
        (
            {"target_network": "teacher"},
            "target_network is 'teacher': choose one of model, start, average",
        ),
        ({"gradient_share": 0.0}, "gradient_share is 0.0, but must be positive"),
        ({"gradient_share": 0.1, "weight": 0.0}, "weight is 0.0, but must be positive"),
        ({"target_decay": 1.0}, r"target_decay is 1.0, but must lie in \[0, 1\)"),
    ],
)
def test_unknown_choice_names_the_known_ones(option, words):
    with pytest.raises(InputError, match=words):
        make_trainer(make_model(), **option)


def test_what_would_never_happen_is_refused_before_the_first_step():
    trainer, hook = make_trainer(make_model(), duration=3)
    with pytest.raises(InputError, match=r"loss_hooks\.masked_autoencoder\.duration is 3"):
        trainer.train(0, 3)
    assert hook.loader.given == 0


def test_processes_stay_together(run_in_two_processes):
    run_in_two_processes(str(Path(__file__).with_name("two_processes.py")))
