"""Alignment as a user runs it."""

CONFIG = "phantom2ffdm/alignment.py"
FROM_SCRATCH = ("train.init_checkpoint=",)


def test_killed_and_resumed_run_repeats_the_whole_run_bit_for_bit(training_runs, tmp_path):
    training_runs.check_resume(
        CONFIG,
        tmp_path,
        *FROM_SCRATCH,
        "model.transformer.dropout=0.1",
        kill_at=8,
        resume_options=["loss_hooks.domain_adversarial.loader.num_workers=2"],
    )
    losses = training_runs.losses(tmp_path / "whole")
    assert all("loss_domain_encoder_target" in values for values in losses.values())
    assert not any("loss_class_target" in values for values in losses.values())


def test_two_processes_align_like_one(training_runs, tmp_path):
    training_runs.check_two_processes(CONFIG, tmp_path, *FROM_SCRATCH, "train.max_iter=3")
