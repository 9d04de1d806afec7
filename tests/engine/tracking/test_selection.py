import sys
from pathlib import Path
from unittest import mock

import pytest
from omegaconf import OmegaConf

from medmask.config.loading import apply_overrides, load_config
from medmask.engine.tracking.selection import build_trackers, check_trackers
from medmask.errors import InputError

CONFIG = Path(__file__).parents[3] / "configs" / "medmask" / "phantom" / "source_only.py"
PACKAGES = ("wandb", "mlflow")


@pytest.fixture
def config():
    return load_config(CONFIG)


def test_no_tracker_is_on_by_default(config):
    assert build_trackers(config) == []


def test_configs_of_before_have_none():
    assert build_trackers(OmegaConf.create({"train": {"max_iter": 3}})) == []


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_absent_is_named_with_its_extra(name, config):
    apply_overrides(config, [f"train.{name}.enabled=true"])
    with (
        mock.patch.dict(sys.modules, {name: None}),
        pytest.raises(InputError, match=rf"train\.{name}\.enabled .*medmask-detection\[{name}\]"),
    ):
        check_trackers(config)


def test_wandb_without_a_key_is_told_before_the_run(config, stand_ins, monkeypatch):
    apply_overrides(config, ["train.wandb.enabled=true"])
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(InputError, match="no key for its server: run 'wandb login'"):
        check_trackers(config)
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_trackers(config)
    apply_overrides(config, ["train.wandb.mode=online"])
    with pytest.raises(InputError, match="no key"):
        check_trackers(config)
    monkeypatch.setenv("WANDB_API_KEY", "k")
    check_trackers(config)
