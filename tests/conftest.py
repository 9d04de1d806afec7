"""Fixtures that several packages' tests share."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.structures import Boxes, Instances

from medmask.modeling import MedMask

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def make_model() -> Callable[..., MedMask]:
    """Builds the small model of the phantom configs; keywords are options of its transformer."""

    def make(**options: object) -> MedMask:
        model = LazyConfig.load(str(ROOT / "configs/common/models/medmask_small.py")).model
        model.transformer.update(options)
        return instantiate(model)

    return make


@pytest.fixture
def make_input() -> Callable[..., dict]:
    """Builds what a mapper gives for one image: noise of (3, height, width) with some boxes."""

    def make(height: int, width: int, boxes: list[list[float]] = ()) -> dict:
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
        instances.gt_classes = torch.zeros(len(boxes), dtype=torch.int64)
        image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
        return {"image": image, "instances": instances, "height": height, "width": width}

    return make
