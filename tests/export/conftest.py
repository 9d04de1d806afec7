"""Exported files of small models with weights that nobody trained."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from medmask.config import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.export import ExportSummary, export_onnx

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "medmask" / "phantom" / "source_only.py"
SMALL = (
    "train.device=cpu",
    "model.transformer.num_encoder_layers=1",
    "model.transformer.num_decoder_layers=2",
    "dataloader.test.mapper.augmentation.short_edge_length=96",
)
MODELS = {
    "two_stages": (),
    "learned_queries": (
        "model.transformer.two_stage=False",
        "model.transformer.box_refinement=False",
        "model.transformer.num_classes=2",
        "model.criterion.proposal_matcher=null",
        "dataloader.test.dataset=registered_nowhere",
        "model.max_detections=50",
        "model.nms_iou=null",
    ),
}
"""Name -> settings of the model"""


def write_run(folder: Path, overrides: tuple[str, ...] = (), change=None) -> Path:
    """config.yaml and weights, fresh ones or changed."""
    config = load_config(str(CONFIG), [*SMALL, *overrides])
    torch.manual_seed(0)
    weights = instantiate(config.model).state_dict()
    # Fresh heads give all queries much the same boxes and scores, which hides what is mixed up.
    for name, value in weights.items():
        if "_head" in name and value.dim() > 1:
            value.normal_(std=0.3)
    if change is not None:
        change(weights)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": weights}, folder / "model_final.pth")
    write_config_yaml(config, folder / "config.yaml")
    return folder


class ExportedRun:
    """A run and its exported file."""

    def __init__(self, folder: Path, overrides: tuple[str, ...]) -> None:
        self.folder = write_run(folder, overrides)
        self.config_file = folder / "config.yaml"
        self.weights = folder / "model_final.pth"
        self.file = folder / "model.onnx"
        self.lines: list[str] = []
        self.summary: ExportSummary = export_onnx(
            self.config_file, self.weights, self.file, report=self.lines.append
        )


@pytest.fixture(scope="session", params=MODELS)
def exported(request, tmp_path_factory) -> ExportedRun:
    """Each of the models."""
    return ExportedRun(tmp_path_factory.mktemp(request.param), MODELS[request.param])


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    return write_run
