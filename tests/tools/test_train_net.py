"""The training tool on stage 1."""

import json
from functools import partial

import pytest

CONFIG = "phantom/source_only.py"
# what needs the random generators' state in the checkpoint
DROPOUT = "model.transformer.dropout=0.1"


@pytest.fixture
def command(training_runs):
    """Builds the command line of a short run."""
    return partial(training_runs.command, CONFIG)


@pytest.mark.parametrize(
    ("kill_at", "options"),
    [
        pytest.param(7, [], id="twelve"),
        pytest.param(
            43,
            ["train.max_iter=60", "train.checkpointer.period=30", "train.eval_period=20"],
            marks=pytest.mark.slow,
            id="sixty",
        ),
    ],
)
def test_killed_and_resumed_run_repeats_the_whole_run_bit_for_bit(
    training_runs, tmp_path, kill_at, options
):
    training_runs.check_resume(
        CONFIG,
        tmp_path,
        DROPOUT,
        *options,
        kill_at=kill_at,
        # other workers must not change anything
        resume_options=["dataloader.train.num_workers=2"],
    )


def test_run_leaves_its_record_and_can_be_evaluated(training_runs, command, tmp_path):
    result = training_runs.run(command(tmp_path, "train.max_iter=2", "train.amp.enabled=True"))
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "versions.json").read_text())["torch"]
    assert (tmp_path / "config.yaml").exists()
    assert list(tmp_path.glob("events.out.tfevents*"))
    assert "froc/R@0.3" in json.loads((tmp_path / "evaluations.json").read_text())[0]

    weights = f"train.init_checkpoint={tmp_path / 'model_final.pth'}"
    evaluation = training_runs.run(command(tmp_path / "evaluation", "--eval-only", weights))
    assert evaluation.returncode == 0, evaluation.stderr
    assert "R@0.3" in evaluation.stdout + evaluation.stderr
    assert "froc/R@0.3" in json.loads((tmp_path / "evaluation/evaluation.json").read_text())

    # by a config.yaml that names a stage of one's own, which no evaluation needs
    stored = tmp_path / "own.yaml"
    text = (tmp_path / "config.yaml").read_text()
    stored.write_text(f"{text}loss_hooks: {{own: {{_target_: my_hooks.OwnHook}}}}\n")
    options = ["--eval-only", "--check-images", "--config-file", str(stored), weights]
    evaluation = training_runs.run(command(tmp_path / "again", *options))
    assert evaluation.returncode == 0, evaluation.stderr
    assert "of phantom_film_val." in evaluation.stdout + evaluation.stderr

    # a folder that holds a run is not written into by mistake
    training_runs.check_refusal(command(tmp_path, "train.max_iter=2"), "holds a run already")
    training_runs.check_refusal(
        command(tmp_path, "train.max_iter=2", "--resume"),
        "train.amp.enabled was True and is False",
    )
    # a run that is complete has nothing left to do
    again = training_runs.run(
        command(tmp_path, "train.max_iter=2", "train.amp.enabled=True", "--resume")
    )
    assert again.returncode == 0
    assert "Nothing to do" in again.stdout + again.stderr


def test_two_processes_train_like_one_on_the_same_global_batch(training_runs, tmp_path):
    # BatchNorm sees a process's own images only; frozen, it cannot tell two processes from one
    options = ["+model.backbone.norm=FrozenBN", "train.max_iter=3", "train.gradient_accumulation=2"]
    launchers = ("num-gpus", "torchrun")
    training_runs.check_two_processes(CONFIG, tmp_path, *options, launchers=launchers)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("train.max_itr=3", "did you mean train.max_iter?"),
        ("train.amp.dtype=int8", "train.amp.dtype"),
        ("train.gradient_accumulation=0", "train.gradient_accumulation"),
        ("train.init_checkpoint=nowhere.pth", "nowhere.pth does not exist"),
        ("dataloader.train.dataset=inbreast_train", "datasets/README.md"),
        ("dataloader.train.dataset=imbreast_train", "imbreast_train"),
        ("train.best_metric=froc/R@7", "train.best_metric"),
    ],
)
def test_mistake_gives_one_sentence_and_no_traceback(
    training_runs, command, tmp_path, option, words
):
    training_runs.check_refusal(command(tmp_path, "train.max_iter=1", option), words)
