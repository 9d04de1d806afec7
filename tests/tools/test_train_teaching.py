"""Teaching as a user runs it."""

import json

import pytest
import torch

from medmask.inference import MedMaskPredictor

CONFIG = "phantom2ffdm/masked_retraining_teacher.py"
FROM_SCRATCH = (
    "train.init_checkpoint=",
    # what an untrained detector's scores can reach
    "loss_hooks.teacher.threshold.initial=0.008",
    "loss_hooks.teacher.threshold.lowest=0.001",
    "loss_hooks.teacher.threshold.scale=0.05",
    "loss_hooks.teacher.threshold.update_period=0.25",
    "loss_hooks.masked_autoencoder.duration=0.5",
    "loss_hooks.selective_retraining.period=0.5",
)


def test_student_and_teacher_of_a_run_predict(training_runs, tmp_path):
    run = training_runs.run(training_runs.command(CONFIG, tmp_path, *FROM_SCRATCH))
    assert run.returncode == 0, run.stderr
    log = (tmp_path / "log.txt").read_text()
    assert log.count("Selective retraining: before iteration") == 1
    assert "Selective retraining: before iteration 6," in log  # half of the run
    losses = training_runs.losses(tmp_path)
    assert all("loss_class_target" in x and "loss_box_target" not in x for x in losses.values())
    image = torch.randint(0, 256, (64, 48), dtype=torch.uint8).numpy()
    scores = []
    for name in ("model_final", "model_best", "teacher_final", "teacher_best"):
        predictor = MedMaskPredictor(
            str(tmp_path / "config.yaml"), str(tmp_path / f"{name}.pth"), ["train.device=cpu"]
        )
        scores.append(predictor(image)["instances"].scores)
    assert torch.equal(scores[0], scores[1])  # there was one evaluation
    assert torch.equal(scores[2], scores[3])
    assert not torch.equal(scores[0], scores[2])


def test_killed_and_resumed_run_repeats_the_whole_run_bit_for_bit(training_runs, tmp_path):
    """Thresholds move, the encoder is set back, and masked autoencoding ends, around the stop."""
    training_runs.check_resume(
        CONFIG,
        tmp_path,
        *FROM_SCRATCH,
        "model.transformer.dropout=0.1",
        "loss_hooks.teacher.teach_boxes=True",
        "loss_hooks.selective_retraining.keep_heads=True",
        kill_at=8,
        resume_options=["loss_hooks.teacher.loader.num_workers=2"],
    )
    teachers = [
        torch.load(tmp_path / run / "teacher_final.pth", weights_only=True)["model"]
        for run in ("whole", "resumed")
    ]
    for name, value in teachers[0].items():
        assert torch.equal(value, teachers[1][name]), name
    losses = training_runs.losses(tmp_path / "whole")
    assert any(values["loss_box_target"] > 0 for values in losses.values())


def test_lesions_are_pasted_and_images_mixed(training_runs, tmp_path):
    run = training_runs.run(
        training_runs.command(
            CONFIG,
            tmp_path,
            *FROM_SCRATCH,
            "train.max_iter=4",
            "+loss_hooks.teacher.copy_paste._target_=medmask.stages.mean_teacher.LesionCopyPaste",
            "+loss_hooks.teacher.copy_paste.to_unlabeled_probability=1.0",
            "+loss_hooks.teacher.copy_paste.margin=0.2",
            "+dataloader.train.mix._target_=medmask.data.Mixup",
            "+dataloader.train.mix.probability=1.0",
            "loss_hooks.domain_adversarial=null",
        )
    )
    assert run.returncode == 0, run.stderr
    steps = training_runs.losses(tmp_path).values()
    assert not any("domain" in name for values in steps for name in values)  # null: left out
    lines = [json.loads(x) for x in (tmp_path / "metrics.json").read_text().splitlines()]
    pasted = [x["pseudo_labels/pasted_per_image"] for x in lines if "total_loss" in x]
    assert len(pasted) == 4
    assert max(pasted) > 0


def test_two_processes_teach_like_one(training_runs, tmp_path):
    training_runs.check_two_processes(CONFIG, tmp_path, *FROM_SCRATCH, "train.max_iter=3")


@pytest.mark.slow
def test_two_processes_share_batchnorm_statistics(training_runs, tmp_path):
    trained = "model.backbone.norm=BN"
    command = training_runs.command(CONFIG, tmp_path, *FROM_SCRATCH, trained, "train.max_iter=3")
    run = training_runs.run([*command, "--num-gpus=2"])
    assert run.returncode == 0, run.stderr
