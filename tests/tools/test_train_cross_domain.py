"""Stage 2 as a user runs it."""

import pytest
import torch

CONFIG = "phantom2ffdm/cross_domain.py"
FROM_SCRATCH = "train.init_checkpoint="
# what needs the random generators and the schedule in the checkpoint
CHANGING_MASKS = (
    FROM_SCRATCH,
    "train.eval_period=4",
    "model.transformer.dropout=0.1",
    "loss_hooks.masked_autoencoder.mask_ratio._target_=medmask.stages.masked_autoencoding.LossDrivenMaskRatio",
    "+loss_hooks.masked_autoencoder.mask_ratio.step=0.2",
    "+loss_hooks.masked_autoencoder.mask_ratio.period=3",
)


@pytest.mark.slow
def test_killed_and_resumed_run_repeats_the_whole_run_bit_for_bit(training_runs, tmp_path):
    """Pictures are drawn, and the mask ratio changes, before and after the stop."""
    training_runs.check_resume(
        CONFIG,
        tmp_path,
        *CHANGING_MASKS,
        kill_at=8,
        resume_options=["loss_hooks.masked_autoencoder.loader.num_workers=2"],
    )
    assert len(list((tmp_path / "whole" / "pictures").iterdir())) == 3
    losses = training_runs.losses(tmp_path / "whole")
    assert all(values["loss_mae"] > 0 for values in losses.values())


@pytest.mark.slow
def test_stage_starts_from_the_weights_of_stage_1(training_runs, tmp_path):
    first = training_runs.command("phantom2ffdm/source_only.py", tmp_path / "1", "train.max_iter=1")
    assert training_runs.run(first).returncode == 0
    weights = f"train.init_checkpoint={tmp_path / '1' / 'model_final.pth'}"
    still = (
        "train.max_iter=1",
        "optimizer.lr=0.0",
        "loss_hooks.masked_autoencoder.warmup=null",
    )
    second = training_runs.run(training_runs.command(CONFIG, tmp_path / "2", weights, *still))
    assert second.returncode == 0, second.stderr
    before, after = (
        torch.load(tmp_path / stage / "model_final.pth", weights_only=True)["model"]
        for stage in ("1", "2")
    )
    new = after.keys() - before.keys()
    assert new == {name for name in after if name.startswith("training_modules.")}
    for name, value in before.items():
        if "norm" not in name:  # BatchNorm's statistics have seen more images
            assert torch.equal(after[name], value), name


def test_two_processes_rebuild_like_one(training_runs, tmp_path):
    training_runs.check_two_processes(CONFIG, tmp_path, FROM_SCRATCH, "train.max_iter=4")
