"""The detectors of the configs, in their full size, with fresh weights."""

from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from medmask.config import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.export import export_onnx
from medmask.export.parity import TOLERANCE

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[2]


SMALL = "phantom/source_only.py"


@pytest.mark.parametrize(
    ("config_file", "options"),
    [
        pytest.param(SMALL, ["+model.top_down=true"], id="top down"),
        pytest.param(SMALL, [], id="small", marks=pytest.mark.slow),
        pytest.param("mias2inbreast/source_only.py", [], id="lite0", marks=pytest.mark.slow),
        pytest.param("inbreast/source_only.py", [], id="r50", marks=pytest.mark.slow),
    ],
)
def test_model_of_a_config_is_exported(config_file, options, tmp_path):
    if config_file.startswith("mias2inbreast"):
        pytest.importorskip("timm")
    overrides = ["dataloader.test.mapper.augmentation.short_edge_length=256", *options]
    config = load_config(str(ROOT / "configs" / "medmask" / config_file), overrides)
    torch.manual_seed(0)
    torch.save({"model": instantiate(config.model).state_dict()}, tmp_path / "model_final.pth")
    write_config_yaml(config, tmp_path / "config.yaml")
    summary = export_onnx(
        tmp_path / "config.yaml", tmp_path / "model_final.pth", tmp_path / "model.onnx"
    )
    assert summary.difference <= TOLERANCE
