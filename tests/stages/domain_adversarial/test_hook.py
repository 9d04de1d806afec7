import math

import pytest
import torch

from medmask.errors import InputError
from medmask.modeling import Domain
from medmask.stages.domain_adversarial import DomainAdversarialHook
from medmask.stages.mean_teacher import FixedThreshold, TeacherHook

NAMES = ("loss_domain_backbone", "loss_domain_encoder", "loss_domain_decoder")


@pytest.fixture
def teacher(pairs):
    return TeacherHook(loader=pairs, threshold=FixedThreshold(value=0.3))


@pytest.fixture
def make_judged(make_detector):
    """Builds a detector and a hook whose discriminators judge it."""

    def make(**weights):
        detector, hook = make_detector(), DomainAdversarialHook(**weights)
        hook.build(detector)
        return detector, hook

    return make


def losses_of(detector, batch, domain, hook):
    return hook.output_losses(detector.supervised_step(batch, domain=domain))


def test_every_supervised_step_is_judged(make_detector, make_trainer, teacher):
    trainer = make_trainer(make_detector(), teacher, DomainAdversarialHook())
    trainer.train(0, 1)
    names = {name for name in trainer.storage.latest() if "loss_domain" in name}
    assert names == {*NAMES, *(f"{name}_target" for name in NAMES)}


@pytest.mark.parametrize("domain", Domain)
def test_losses_are_weighted_cross_entropies_with_the_label_of_the_domain(
    make_judged, pairs, domain
):
    """Discriminators that say the same everywhere make the losses known: log(1 + e^d)."""
    weights = {"backbone_weight": 0.3, "encoder_weight": 2.0, "decoder_weight": 3.0}
    detector, hook = make_judged(**weights)
    margin = 1.5  # of the logit of the target over that of the source
    with torch.no_grad():
        for name, parameter in hook.module.named_parameters():
            parameter.zero_()
            if name.endswith("layers.2.bias"):
                parameter[1] = margin
    batch = next(pairs.iterate_from(0))
    losses = losses_of(detector, batch, domain, hook)
    expected = math.log(1 + math.exp(margin if domain is Domain.SOURCE else -margin))
    for name, weight in zip(NAMES, weights.values(), strict=True):
        assert losses[name].item() == pytest.approx(weight * expected, rel=1e-5)


def test_positions_of_padding_are_not_judged(make_judged, pairs, monkeypatch):
    """Half of the second image's columns are padding."""
    detector, hook = make_judged()
    judged = {}

    def spy(logits, domain, padding_mask=None):
        judged[len(judged)] = (logits.shape[:-1], padding_mask)
        return logits.sum()

    monkeypatch.setattr("medmask.stages.domain_adversarial.hook.domain_loss", spy)
    losses_of(detector, next(pairs.iterate_from(0)), Domain.TARGET, hook)
    (map_shape, map_padding), (token_shape, token_padding), (query_shape, none) = judged.values()
    # 64 x 96 pixels: 2 x 3 cells of 32; the narrow image's 48 pixels reach into its second column
    assert map_shape == map_padding.shape == (2, 2, 3)
    assert map_padding.tolist() == [[[False] * 3] * 2, [[False, False, True]] * 2]
    assert token_shape == token_padding.shape == (2, 8 * 12 + 4 * 6 + 2 * 3)
    assert token_padding[0].sum() == 0
    assert token_padding[1].sum() == 8 * 6 + 4 * 3 + 2 * 1
    assert query_shape[0] == 2
    assert none is None


def test_detector_learns_what_the_discriminators_do_not_want(make_judged, pairs):
    """The gradient of the domain losses on the detector is that of raising them."""
    detector, hook = make_judged()
    batch = next(pairs.iterate_from(0))

    def domain_losses():
        torch.manual_seed(0)  # dropout
        losses = losses_of(detector, batch, Domain.SOURCE, hook)
        return sum(losses[name] for name in NAMES)

    before = domain_losses()
    before.backward()
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if "discriminators" in name:
                assert parameter.grad.abs().sum() > 0
            elif parameter.grad is not None:
                parameter -= 1e-3 * parameter.grad
    assert domain_losses() > before


def test_run_without_target_steps_is_refused(make_detector, make_trainer):
    trainer = make_trainer(make_detector(), DomainAdversarialHook())
    with pytest.raises(InputError, match="set its loader, or add a TeacherHook"):
        trainer.train(0, 1)


def test_target_images_come_from_a_teacher_or_from_a_loader(
    make_detector, make_trainer, teacher, pairs
):
    trainer = make_trainer(make_detector(), teacher, DomainAdversarialHook(loader=pairs))
    with pytest.raises(InputError, match=r"domain_adversarial\.loader is set, but the teacher"):
        trainer.train(0, 1)


class StrongViews:
    """The loader of pairs, without labels and weak views."""

    def __init__(self, pairs):
        self.pairs = pairs

    def iterate_from(self, start):
        for batch in self.pairs.iterate_from(start):
            yield [{"image": sample["strong_image"]} for sample in batch]


def test_alignment_is_teaching_whose_labels_weigh_nothing(make_detector, make_trainer, pairs):
    """The same losses and, bit for bit, the same weights after three updates."""
    detectors, losses = [], []
    teacher = TeacherHook(loader=pairs, threshold=FixedThreshold(value=0.3), loss_weight=0.0)
    for hooks in (
        (teacher, DomainAdversarialHook()),
        (DomainAdversarialHook(loader=StrongViews(pairs)),),
    ):
        torch.manual_seed(0)
        detector = make_detector()
        torch.manual_seed(1)
        trainer = make_trainer(detector, *hooks)
        trainer.train(0, 3)
        detectors.append(detector)
        latest = trainer.storage.latest()
        losses.append({name: value for name, value in latest.items() if "domain" in name})
    assert losses[0] == losses[1]
    assert {name for name in losses[0] if "accuracy" in name} == {
        f"domain_accuracy/{part}" for part in ("backbone", "encoder", "decoder")
    }
    for (name, ours), theirs in zip(
        detectors[1].state_dict().items(), detectors[0].state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name


def test_discriminators_fit_the_detector(make_judged):
    detector, hook = make_judged()
    assert detector.training_modules["discriminators"] is hook.module
    coarsest = detector.backbone.output_shape()["res5"].channels
    assert hook.module.backbone.layers[0].in_channels == coarsest
    assert len(hook.module.encoder) == detector.transformer.num_levels
