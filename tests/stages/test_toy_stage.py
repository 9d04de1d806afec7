"""The stage that docs/extending.md shows is complete: it trains, and a run of it resumes."""

import json
from pathlib import Path

import pytest
import torch
from toy_stage import LesionCountHook

HERE = Path(__file__).parent
FILES = (HERE / "toy_stage.py", HERE / "toy_stage_config.py")


def test_stage_and_config_page_are_short():
    assert sum(len(file.read_text().splitlines()) for file in FILES) < 60


def test_module_is_made_for_the_detector_and_learns(make_detector, make_trainer):
    detector, hook = make_detector(), LesionCountHook(weight=0.5)
    trainer = make_trainer(detector, hook, lr=1e-2)
    assert detector.training_modules["lesion_counter"] is hook.module
    before = hook.module.weight.clone()
    trainer.train(0, 3)
    assert not torch.equal(hook.module.weight, before)
    assert trainer.storage.latest()["loss_count"][0] > 0
    # an object an image
    assert hook.mean_count == pytest.approx(1 - 0.9**3)


def test_resumed_run_repeats_the_whole_run(check_resume):
    check_resume(lambda: [LesionCountHook()], stop_at=2, max_iter=4)


@pytest.fixture
def run_here(run_tool, datasets):
    """Runs a tool that ends well."""

    def run(*arguments):
        result = run_tool(
            *arguments,
            PYTHONPATH=str(HERE.parents[1]),
            DETECTRON2_DATASETS=str(datasets),
        )
        assert result.returncode == 0, result.stderr

    return run


def test_stage_of_a_config_page_trains_resumes_and_predicts(run_here, datasets, tmp_path):
    def train(*options):
        run_here(
            "lazyconfig_train_net.py",
            *("--config-file", FILES[1], f"train.output_dir={tmp_path}", "train.device=cpu"),
            *("train.log_period=1", "train.eval_period=0", "train.checkpointer.period=2"),
            *("dataloader.train.total_batch_size=2", "dataloader.train.num_workers=0"),
            "dataloader.test.num_workers=0",
            "optimizer.params.lr_factors={training_modules.lesion_counter: 10}",
            *options,
        )
        lines = (tmp_path / "metrics.json").read_text().splitlines()
        return [json.loads(line) for line in lines]

    train("train.max_iter=2")
    log = train("train.max_iter=3", "--resume")
    assert [line["iteration"] for line in log] == [0, 1, 2]
    assert all(line["loss_count"] > 0 for line in log)
    weights = tmp_path / "model_final.pth"
    checkpoint = torch.load(weights, weights_only=True)
    assert "training_modules.lesion_counter.weight" in checkpoint["model"]
    assert checkpoint["trainer"]["hooks"]["LesionCountHook"]["mean_count"] > 0
    assert {group["lr"] for group in checkpoint["optimizer"]["param_groups"]} != {1e-3}
    image = min((datasets / "phantom").rglob("*.png"))
    run_here("predict.py", image, "--checkpoint", weights, "--output", tmp_path / "predictions")
