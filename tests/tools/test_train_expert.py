"""Stage 3 as a user runs it, with the embeddings of an expert that guesses."""

import pytest

CONFIG = "phantom2ffdm/expert.py"


@pytest.fixture(scope="module")
def options(datasets, tmp_path_factory, make_expert_store):
    """Settings of a run with a store of random embeddings."""
    folder = tmp_path_factory.mktemp("experts") / "film"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(datasets))
        make_expert_store(folder, dataset="phantom_film_train", dim=16)
    return [
        "train.init_checkpoint=",
        f"loss_hooks.expert_distillation.stores=[{folder}]",
        "loss_hooks.expert_distillation.queue_size=8",  # wraps around
    ]


@pytest.mark.slow
def test_killed_and_resumed_run_repeats_the_whole_run_bit_for_bit(training_runs, tmp_path, options):
    dropout = "model.transformer.dropout=0.1"
    training_runs.check_resume(CONFIG, tmp_path, *options, dropout, kill_at=8)
    losses = training_runs.losses(tmp_path / "whole")
    for level in ("image", "lesion", "zero_shot"):
        assert any(values[f"loss_expert_{level}"] > 0 for values in losses.values())


def test_two_processes_learn_from_the_expert_like_one(training_runs, tmp_path, options):
    training_runs.check_two_processes(CONFIG, tmp_path, *options, "train.max_iter=4")


def test_store_of_other_images_is_refused(training_runs, tmp_path, options):
    other = "dataloader.train.dataset=phantom_ffdm_train"
    command = training_runs.command(CONFIG, tmp_path, *options, other)
    training_runs.check_refusal(command, "does not fit")


def test_held_out_stores_of_other_images_are_refused_before_training(
    training_runs, tmp_path, options
):
    folder = options[1].partition("=")[2]
    held_out = f"loss_hooks.expert_distillation.held_out_stores={folder}"
    command = training_runs.command(CONFIG, tmp_path, *options, held_out)
    training_runs.check_refusal(command, "expert_distillation.held_out_stores must name stores of")
    assert not (tmp_path / "metrics.json").exists()
