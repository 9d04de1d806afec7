"""A result goes with the config that it was made with, whatever its page says by now."""

import json
from pathlib import Path

import pytest

from medmask.config import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.engine.comparison.plan import Run
from medmask.engine.comparison.run_config import RunConfigs
from medmask.engine.comparison.run_result import complete_run, read_result
from medmask.errors import InputError

PAGE = """
from medmask.modeling import HungarianMatcher, MedMask

model = dict(_target_=MedMask, nms_iou=0.5, seed="${train.seed}")
dataloader = dict(train=dict(batch_size=2), test=dict(dataset="a", num_workers=1))
optimizer = dict(lr=1e-3, betas=[0.9, 0.99], limit=float("inf"), bounds=[0.0, float("nan")])
lr_multiplier = dict()
train = dict(seed=0, max_iter=3, output_dir="a", init_checkpoint="", device="cpu", log_period=20)
"""
ONES_OWN = ["train.seed=7", "train.output_dir=elsewhere", "train.init_checkpoint=b.pth"]
SETTINGS = ["train.max_iter=5"]


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.py"
    path.write_text(PAGE)
    return path


def complete(run: Run, folder: Path) -> None:
    def call(log):
        config = load_config(str(run.config), SETTINGS + ONES_OWN)
        write_config_yaml(config, folder / "config.yaml")
        (folder / "evaluations.json").write_text('[{"froc/CPM": 1.0}]')
        return 0

    complete_run(run, folder, SETTINGS, call)


def test_seed_folder_and_start_are_the_runner_s(page, tmp_path):
    run = Run("r", page, start="first")
    complete(run, tmp_path / "out")
    assert read_result(run, tmp_path / "out", SETTINGS, RunConfigs()).metrics == {"froc/CPM": 1.0}


def test_where_the_runner_gives_no_start_the_page_s_counts(page, tmp_path):
    run = Run("r", page)
    complete(run, tmp_path / "out")
    with pytest.raises(InputError, match=r"train\.init_checkpoint was 'b\.pth' and is ''"):
        read_result(run, tmp_path / "out", SETTINGS, RunConfigs())


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ("nms_iou=0.5", "nms_iou=None", "model.nms_iou was 0.5 and is None"),
        ("batch_size=2", "size=2", "dataloader.train.batch_size was 2 and is not there"),
        ('dataset="a"', 'dataset="b"', "dataloader.test.dataset was 'a' and is 'b'"),
        ("0.99]", "0.9]", "optimizer.betas was"),
        ('limit=float("inf")', "limit=1.0", "optimizer.limit was 'inf' and is 1.0"),
        ("target_=MedMask", "target_=HungarianMatcher", "model._target_ was"),
    ],
)
def test_change_of_the_page_is_told(page, tmp_path, before, now, words):
    run = Run("r", page, start="first")
    complete(run, tmp_path / "out")
    page.write_text(PAGE.replace(before, now))
    with pytest.raises(InputError) as raised:
        read_result(run, tmp_path / "out", SETTINGS, RunConfigs())
    message = str(raised.value)
    assert f"result.json was made before {page} changed: " in message
    assert words in message
    assert "delete its folder to run again" in message


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("num_workers=1", "num_workers=4"),
        ('device="cpu"', 'device="cuda"'),
        ("log_period=20", "log_period=5"),
        ("max_iter=3", "max_iter=4"),  # the settings decide it
        ("lr=1e-3", "lr=0.001"),
    ],
)
def test_change_without_effect_is_none(page, tmp_path, before, now):
    run = Run("r", page, start="first")
    complete(run, tmp_path / "out")
    page.write_text(PAGE.replace(before, now))
    assert read_result(run, tmp_path / "out", SETTINGS, RunConfigs()) is not None


def test_result_that_does_not_tell_is_taken(page, tmp_path):
    run = Run("r", page, start="first")
    complete(run, tmp_path / "out")
    file = tmp_path / "out" / "result.json"
    content = json.loads(file.read_text())
    assert content["config_values"]["optimizer.lr"] == 1e-3
    del content["config_values"]
    file.write_text(json.dumps(content))
    page.write_text(PAGE.replace("lr=1e-3", "lr=1"))
    assert read_result(run, tmp_path / "out", SETTINGS, RunConfigs()) is not None
