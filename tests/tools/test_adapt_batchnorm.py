"""AdaBN by the training tool."""

import json

import pytest
import torch

CONFIG = "phantom2ffdm/source_only.py"


@pytest.fixture
def weights(training_runs, tmp_path):
    """The override that names a checkpoint."""
    command = training_runs.command(CONFIG, tmp_path / "start", "train.max_iter=1")
    done = training_runs.run(command)
    assert done.returncode == 0, done.stderr
    return f"train.init_checkpoint={tmp_path / 'start' / 'model_final.pth'}"


def adapt(training_runs, output, *options):
    command = training_runs.command(CONFIG, output, "--adapt-batchnorm", "phantom_ffdm_train")
    return training_runs.run([*command, *options])


@pytest.mark.slow
def test_adapted_model_is_evaluated_and_saved(training_runs, weights, tmp_path):
    for name in ("one", "two"):
        done = adapt(training_runs, tmp_path / name, "--eval-only", weights)
        assert done.returncode == 0, done.stderr
    assert "froc/R@0.3" in json.loads((tmp_path / "one/evaluation.json").read_text())
    before, one, two = (
        torch.load(path, weights_only=True)["model"]
        for path in (
            tmp_path / "start/model_final.pth",
            tmp_path / "one/model_adabn.pth",
            tmp_path / "two/model_adabn.pth",
        )
    )
    changed = {name for name in before if not torch.equal(before[name], one[name])}
    assert "backbone.stem.conv1.norm.running_mean" in changed
    assert all("running_" in name or "num_batches_tracked" in name for name in changed)
    assert all(torch.equal(value, two[name]) for name, value in one.items())

    # what was saved is what was evaluated
    saved = f"train.init_checkpoint={tmp_path / 'one/model_adabn.pth'}"
    again = training_runs.command(CONFIG, tmp_path / "again", "--eval-only", saved)
    assert training_runs.run(again).returncode == 0
    results = [
        json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("one", "again")
    ]
    assert results[0] == results[1]


@pytest.mark.slow
def test_model_without_trained_batchnorm_is_refused(training_runs, weights, tmp_path):
    frozen = "+model.backbone.norm=FrozenBN"
    done = adapt(training_runs, tmp_path / "out", "--eval-only", weights, frozen)
    assert done.returncode == 2
    assert "no trained BatchNorm" in done.stderr
    assert not (tmp_path / "out/model_adabn.pth").exists()


@pytest.mark.parametrize(
    ("options", "words"), [([], "--eval-only"), (["--eval-only", "--num-gpus=2"], "one process")]
)
def test_wrong_options_are_refused(training_runs, tmp_path, options, words):
    command = training_runs.command(CONFIG, tmp_path, "--adapt-batchnorm", "phantom_ffdm_train")
    training_runs.check_refusal([*command, *options], words)


def test_unknown_data_set_is_refused_before_anything_is_done(training_runs, tmp_path):
    (tmp_path / "weights.pth").touch()
    options = ["--eval-only", f"train.init_checkpoint={tmp_path / 'weights.pth'}"]
    command = training_runs.command(CONFIG, tmp_path / "out", "--adapt-batchnorm", "nowhere")
    words = "--adapt-batchnorm: data set 'nowhere' is not registered"
    training_runs.check_refusal([*command, *options], words)
    assert not (tmp_path / "out").exists()
