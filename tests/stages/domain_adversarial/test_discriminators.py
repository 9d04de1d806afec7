import math
from pathlib import Path

import pytest
import torch

from medmask.stages.domain_adversarial.discriminators import (
    DomainDiscriminators,
    MapDiscriminator,
    domain_accuracy,
    domain_loss,
)

SIZES = [(4, 6), (2, 3)]


@pytest.fixture
def discriminators():
    return DomainDiscriminators(backbone_channels=5, embed_dim=8, num_levels=2)


@pytest.fixture
def features():
    return {
        "backbone_map": torch.randn(2, 5, 2, 3, requires_grad=True),
        "memory_maps": [torch.randn(2, h, w, 8, requires_grad=True) for h, w in SIZES],
        "queries": torch.randn(2, 7, 8, requires_grad=True),
        "backbone_padding": torch.zeros(2, 2, 3, dtype=torch.bool),
        "memory_paddings": [torch.zeros(2, h, w, dtype=torch.bool) for h, w in SIZES],
    }


def test_every_position_gets_two_logits(discriminators, features):
    logits = discriminators(**features)
    assert logits.backbone.shape == (2, 2, 3, 2)
    assert logits.encoder.shape == (2, 4 * 6 + 2 * 3, 2)
    assert logits.decoder.shape == (2, 7, 2)


def test_tokens_keep_their_order(discriminators, features):
    """A token's logits depend on its own neighborhood: three 3x3 convolutions reach 3 cells."""
    before = discriminators(**features).encoder
    with torch.no_grad():
        features["memory_maps"][1][0, 1, 2] += 1
        features["memory_maps"][0][0, 3, 5] += 1
    changed = (discriminators(**features).encoder - before).abs().sum(-1) > 0
    assert not changed[1].any()
    first = changed[0, :24].view(4, 6)
    assert first[3, 5]
    assert not first[:, :2].any()
    assert changed[0, 24 + 5]


def test_features_and_discriminators_pull_in_opposite_directions(discriminators, features):
    """A gradient step on the discriminators lowers the loss, one on the features raises it."""

    def loss():
        return sum(domain_loss(logits, 1) for logits in discriminators(**features))

    before = loss()
    before.backward()
    inputs = [features["backbone_map"], *features["memory_maps"], features["queries"]]
    with torch.no_grad():
        for x in inputs:
            x -= 1e-2 * x.grad
    assert loss() > before
    with torch.no_grad():
        for x in inputs:
            x += 1e-2 * x.grad
        for parameter in discriminators.parameters():
            assert parameter.grad.abs().sum() > 0
            parameter -= 1e-3 * parameter.grad
    assert loss() < before


def test_what_lies_in_the_padding_does_not_matter(discriminators, features):
    """Not even to cells at its border, and it gets no gradient."""
    alone = discriminators(**features)
    maps = [features["backbone_map"].permute(0, 2, 3, 1), *features["memory_maps"]]
    padded, paddings = [], []
    for x in maps:
        padded.append(torch.cat((x.detach(), torch.randn_like(x)), dim=2).requires_grad_())
        paddings.append(torch.arange(2 * x.shape[2]).expand(padded[-1].shape[:3]) >= x.shape[2])
    logits = discriminators(
        padded[0].permute(0, 3, 1, 2),
        padded[1:],
        features["queries"],
        backbone_padding=paddings[0],
        memory_paddings=paddings[1:],
    )
    torch.testing.assert_close(logits.backbone[:, :, :3], alone.backbone)
    is_padding = torch.cat([x.flatten(1) for x in paddings[1:]], dim=1)
    torch.testing.assert_close(
        logits.encoder[~is_padding], alone.encoder.flatten(0, 1), rtol=1e-5, atol=1e-6
    )
    (logits.encoder.sum() + logits.backbone.sum()).backward()
    for x, padding in zip(padded, paddings, strict=True):
        assert x.grad[~padding].abs().sum() > 0
        assert not x.grad[padding].any()


def test_a_map_discriminator_is_three_convolutions():
    discriminator = MapDiscriminator(in_channels=4, hidden_dim=6)
    shapes = [tuple(p.shape) for p in discriminator.parameters() if p.dim() == 4]
    assert shapes == [(6, 4, 3, 3), (6, 6, 3, 3), (2, 6, 3, 3)]


def test_loss_is_the_mean_negative_log_likelihood():
    logits = torch.tensor([[[0.0, 0.0], [1.0, 3.0]]])
    expected = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    assert domain_loss(logits, 1).item() == pytest.approx(expected)
    expected = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert domain_loss(logits, 0).item() == pytest.approx(expected)


def test_padding_is_not_judged():
    logits = torch.randn(2, 3, 4, 2, requires_grad=True)
    padding_mask = torch.zeros(2, 3, 4, dtype=torch.bool)
    padding_mask[1, :, 2:] = True
    loss = domain_loss(logits, 0, padding_mask)
    loss.backward()
    assert (logits.grad[1, :, 2:] == 0).all()
    assert (logits.grad[~padding_mask] != 0).all()
    likelihoods = logits.detach().softmax(-1)[..., 0]
    real = [likelihoods[0].flatten(), likelihoods[1, :, :2].flatten()]
    torch.testing.assert_close(loss.detach(), -torch.cat(real).log().mean())


def test_accuracy_is_the_share_of_right_answers():
    logits = torch.tensor([[[0.0, 0.0], [1.0, 3.0], [2.0, 1.0], [5.0, 6.0], [9.0, 0.0]]])
    assert domain_accuracy(logits, 1).item() == pytest.approx(2.5 / 5)
    padding_mask = torch.tensor([[False, False, False, False, True]])
    assert domain_accuracy(logits, 1, padding_mask).item() == pytest.approx(2.5 / 4)
    assert domain_accuracy(logits, 0, padding_mask).item() == pytest.approx(1.5 / 4)


def test_two_processes_have_the_loss_of_one(run_in_two_processes):
    run_in_two_processes(str(Path(__file__).with_name("two_processes.py")))
