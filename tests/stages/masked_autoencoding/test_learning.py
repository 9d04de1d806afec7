"""R2 on held-out images of an autoencoder that learns, before and after."""

from types import SimpleNamespace

import torch

from medmask.stages.masked_autoencoding import ConstantMaskRatio, MaskedAutoencoderHook
from medmask.stages.masked_autoencoding.reconstruction import reconstruction_loss


def gray_image(seed):
    """An image of one gray level: what is visible of it tells what is masked."""
    level = torch.randint(0, 256, (1,), generator=torch.Generator().manual_seed(seed))
    return {"image": level.byte().expand(3, 64, 96), "random_seed": seed}


def make_hook(detector):
    hook = MaskedAutoencoderHook(
        None,
        mask_ratio=ConstantMaskRatio(start=0.7),
        targets={"res5": (2, 3)},
        num_layers=1,
    )
    hook.build(detector)
    hook.trainer = SimpleNamespace(iter=0, max_iter=200, detector=detector)
    hook.set_run_length(200)
    return hook


def test_an_autoencoder_that_learns_beats_the_mean_of_each_position(make_detector):
    detector = make_detector()
    detector.backbone.requires_grad_(False)  # or its maps would move
    detector.train()
    hook = make_hook(detector)
    held_out = [gray_image(10_000 + i) for i in range(30)]
    state = torch.get_rng_state()
    before = hook.measure_learning(held_out)["mae/R2_res5"]
    assert torch.equal(state, torch.get_rng_state())
    assert detector.training
    assert before == hook.measure_learning(held_out)["mae/R2_res5"]
    assert not before.beats_constant
    optimizer = torch.optim.AdamW([p for p in detector.parameters() if p.requires_grad], lr=1e-3)
    for i in range(240):
        step = hook._reconstruction_step(for_training=True)(
            detector, [gray_image(4 * i + k) for k in range(4)]
        )
        optimizer.zero_grad()
        reconstruction_loss(step, masked_only=True).backward()
        optimizer.step()
    after = hook.measure_learning(held_out)["mae/R2_res5"]
    assert after.beats_constant


def test_a_stage_that_has_ended_is_not_measured(make_detector):
    hook = make_hook(make_detector())
    hook.duration = 50
    hook.set_run_length(200)
    assert hook.last_iteration() == 50
    hook.trainer.iter = 49
    assert hook.measure_learning([gray_image(0), gray_image(1)])
    hook.trainer.iter = 50
    assert hook.measure_learning([gray_image(0), gray_image(1)]) == {}
