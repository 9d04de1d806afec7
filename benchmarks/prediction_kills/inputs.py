"""Images and a detector for predictions that are killed: small, so that starts cost little."""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from detectron2.config import instantiate

from medmask.config import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.phantom import PhantomParameters, make_phantom_dataset

_SMALL = (
    "train.device=cpu",
    "model.transformer.num_encoder_layers=1",
    "model.transformer.num_decoder_layers=1",
    "dataloader.test.mapper.augmentation.short_edge_length=64",
)


@dataclass(frozen=True)
class Inputs:
    """Arguments that all runs of predict get.

    Attributes:
        manifest: of the images.
        checkpoint: fresh weights, their config beside them.
        names: of the images.
    """

    manifest: Path
    checkpoint: Path
    names: tuple[str, ...]

    def arguments(self, output: Path, *options: object) -> list[str]:
        """Of `medmask predict`."""
        given = ("--checkpoint", self.checkpoint, "--device", "cpu", "--output", output)
        return list(map(str, (self.manifest, *given, *options)))


def make_inputs(folder: Path, count: int, seed: int) -> Inputs:
    """Write phantom mammograms, a manifest of them, and a small detector."""
    make_phantom_dataset(
        folder / "phantom",
        PhantomParameters(width=48, height=64),
        split_sizes={"val": count},
        domains=["film"],
    )
    images = sorted((folder / "phantom").glob("film/images/val/*.png"))
    with (folder / "archive.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path"], *([str(path)] for path in images)])
    config = load_config("configs/medmask/phantom/source_only.py", _SMALL)
    torch.manual_seed(seed)
    checkpoint = folder / "model_best.pth"
    torch.save({"model": instantiate(config.model).state_dict()}, checkpoint)
    write_config_yaml(config, folder / "config.yaml")
    return Inputs(folder / "archive.csv", checkpoint, tuple(map(str, images)))
