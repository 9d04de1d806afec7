import functools
import math

import pytest
import torch
from torch.testing import assert_close

from medmask.stages.masked_autoencoding.masking import MASKING_STRATEGIES
from medmask.stages.masked_autoencoding.reconstruction import (
    masked_mean_squared_error,
    reconstruction_loss,
    reconstruction_step,
)

CHANNELS = {"res3": 48, "res5": 96}
MASKINGS = pytest.mark.parametrize("masking", MASKING_STRATEGIES)


def make_step(autoencoder, masking="independent", mask_ratio=0.8):
    return functools.partial(
        reconstruction_step,
        autoencoder=autoencoder,
        masking=MASKING_STRATEGIES[masking],
        mask_ratio=mask_ratio,
    )


def loss_of(model, batch, autoencoder, masked_only=True, **options):
    step = model(batch, step=make_step(autoencoder, **options))
    return reconstruction_loss(step, masked_only=masked_only)


@MASKINGS
@pytest.mark.parametrize("masked_only", [True, False])
def test_images_of_any_size_and_mixture(model, autoencoder, make_input, masking, masked_only):
    """In one batch and from batch to batch; down to a single token of the target's level."""
    for sizes in (
        [(64, 48)],
        [(100, 90), (71, 128)],
        [(33, 47), (256, 192)],
        [(9, 200)],
        [(5, 7), (6, 5)],
    ):
        batch = [make_input(*size) for size in sizes]
        loss = loss_of(model, batch, autoencoder, masked_only, masking=masking)
        assert loss.shape == ()
        assert loss.isfinite()


def test_no_boxes_are_needed(model, autoencoder, make_input):
    sample = make_input(64, 48)
    del sample["instances"]
    assert loss_of(model, [sample], autoencoder).isfinite()


@MASKINGS
def test_gradients_reach_all_that_takes_part(model, autoencoder, make_input, masking):
    """Sampling offsets have a gradient only where values differ, hence the random weights."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    batch = [make_input(128, 96), make_input(100, 96)]
    loss_of(model, batch, autoencoder, masking=masking, mask_ratio=0.5).backward()
    parts = ("backbone.", "neck.", "transformer.encoder.", "transformer.level_embedding")
    parts += ("training_modules.masked_autoencoder.",)
    for name, parameter in model.named_parameters():
        if name.startswith(parts):
            assert parameter.grad is not None, name
            assert parameter.grad.any(), name
        else:
            assert parameter.grad is None, name


def test_every_parameter_takes_part_even_if_all_is_masked(model, autoencoder, make_input):
    """One token a level: nothing is visible, but distributed training waits for a gradient."""
    batch = [make_input(8, 8), make_input(8, 8)]
    loss_of(model, batch, autoencoder).backward()
    assert all(p.grad is not None for p in autoencoder.parameters())


def test_target_gets_no_gradient(model, autoencoder, make_input):
    """With the way through the tokens closed, nothing reaches the backbone."""
    features = {}
    model.backbone.register_forward_hook(lambda module, inputs, output: features.update(output))
    make_tokens = model.make_tokens

    def make_detached_tokens(maps, images):
        return make_tokens([m.detach() for m in maps], images)

    model.make_tokens = make_detached_tokens
    step = model([make_input(128, 96)], step=make_step(autoencoder))
    assert torch.equal(step.targets["res5"], features["res5"])
    reconstruction_loss(step, masked_only=True).backward()
    assert all(p.grad is None for p in model.backbone.parameters())


def test_detection_decoder_does_not_run(model, autoencoder, make_input):
    def fail(*args):
        raise AssertionError("the decoder ran")

    model.transformer.decoder.register_forward_pre_hook(fail)
    model([make_input(64, 48)], step=make_step(autoencoder))


@torch.no_grad()
def test_loss_counts_masked_positions_without_padding(model, autoencoder, make_input):
    batch = [make_input(256, 192), make_input(130, 192), make_input(256, 100)]
    result = model(batch, step=make_step(autoencoder))
    output, target = result.reconstructions["res5"], result.targets["res5"]
    for masked_only in (True, False):
        means = []
        for image in range(3):
            errors = []
            rows, columns = (math.ceil(n / 32) for n in result.image_sizes[image])
            for row in range(rows):
                for column in range(columns):
                    if not masked_only or result.masked["res5"][image, row, column]:
                        at = (image, slice(None), row, column)
                        errors.append((output[at] - target[at]).square().mean().item())
            means.append(sum(errors) / len(errors))
        loss = reconstruction_loss(result, masked_only=masked_only)
        assert loss.item() == pytest.approx(sum(means) / 3, rel=1e-4)


def test_nothing_to_count_is_no_error():
    maps = torch.randn(2, 3, 4, 5)
    nothing = torch.zeros(2, 4, 5, dtype=torch.bool)
    assert masked_mean_squared_error(maps, maps + 1, nothing) == 0


def test_several_maps_are_rebuilt(make_model, make_autoencoder, make_input):
    model = make_model()
    autoencoder = make_autoencoder(["res3", "res5"])
    batch = [make_input(128, 96), make_input(100, 70)]
    result = model(batch, step=make_step(autoencoder))
    for name, size in {"res3": (16, 12), "res5": (4, 3)}.items():
        assert result.reconstructions[name].shape == (2, CHANNELS[name], *size)
        assert result.targets[name].shape == result.reconstructions[name].shape
        assert result.masked[name].shape == result.padding[name].shape == (2, *size)


def test_reconstruction_is_learned(model, autoencoder, make_input):
    """Of a fixed image, masked positions included; the mean of the map is a poor answer."""
    model.requires_grad_(False)
    model.transformer.encoder.requires_grad_(True)
    autoencoder.requires_grad_(True)
    batch = [make_input(128, 96)]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=3e-3)
    for _ in range(80):
        optimizer.zero_grad()
        loss_of(model, batch, autoencoder, mask_ratio=0.5).backward()
        optimizer.step()
    with torch.no_grad():
        target = model(batch, step=make_step(autoencoder)).targets["res5"]
        losses = [loss_of(model, batch, autoencoder, mask_ratio=0.5).item() for _ in range(8)]
    assert sum(losses) / 8 < 0.3 * target.var((2, 3)).mean()


def test_mixed_precision_comes_near_full_precision(model, autoencoder, make_input):
    batch = [make_input(128, 96), make_input(100, 96)]

    def run():
        torch.manual_seed(1)
        return loss_of(model, batch, autoencoder)

    full = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = run()
    assert half.dtype == torch.float32
    assert_close(half, full, rtol=0.05, atol=1e-3)
