"""Fixtures that several packages' tests share."""

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from detectron2.structures import Boxes, ImageList, Instances
from expert_stores import WHOLE, write_expert_store
from forked_python import ForkedPython
from torch import Tensor
from tqdm import tqdm

from medmask.checkpoint import convert_checkpoint
from medmask.experts import ImageEmbeddings, Prompts, StoreSettings, sign_file
from medmask.modeling import (
    DeformableTransformer,
    DetectionCriterion,
    HungarianMatcher,
    MatchingCost,
    MedMask,
)
from medmask.modeling.multi_scale_tokens import make_padding_mask

# Programs that a shell starts in the background ignore SIGINT, and those of nohup SIGHUP; so would
# all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The lock of progress bars is one for all processes that are forked, as tqdm makes it: a child that
# a test kills while it holds it would stop all others.
tqdm.set_lock(threading.RLock())

pytest_plugins = (
    "archive_fixtures",
    "data_fixtures",
    "mammogram_trees",
    "tool_fixtures",
    "training_fixtures",
)

ROOT = Path(__file__).parents[1]
REFERENCE_FILE = ROOT / ".." / "shared" / "golden" / "reference_detector.pt"


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def run_in_two_processes(forked_python: ForkedPython) -> Callable[..., None]:
    """Runs a file in two processes that know of each other; it must end well in both."""

    def run(file: str, *arguments: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        forked_python.run_two([file, *arguments], timeout=300, env=environment)

    return run


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


@pytest.fixture(scope="session")
def all_datasets(tmp_path_factory) -> Path:
    """Tiny data sets under all names of datasets/README.md; the root of their tree."""
    root = tmp_path_factory.mktemp("all_datasets")
    entries = [MetadataCatalog.get(name) for name in DatasetCatalog.list()]
    layouts = {getattr(entry, "layout", None) for entry in entries} - {None}
    for layout in layouts:
        if layout.section is not None:
            tree = next(tree for tree in layout.trees if tree.marker is None)
            file, folder = root / tree.json_file, root / tree.image_roots[0]
            _write_tiny_dataset(file, folder, layout.thing_classes)
    return root


@pytest.fixture(scope="session")
def make_expert_store() -> Callable[..., None]:
    """Writes an expert store of random embeddings of a registered data set."""

    def make(
        folder: str | Path,
        *,
        dataset: str,
        dim: int,
        patch_grid: tuple[int, int] | None = None,
    ) -> None:
        records = DatasetCatalog.get(dataset)
        settings = StoreSettings(
            model="none",
            weights_sha256="0",
            logit_scale=10.0,
            embedding_dim=dim,
            patch_grid=None if patch_grid is None else (*patch_grid, dim),
            preprocessing={},
            prompts=Prompts.from_groups({"malignant": ["a mass"], "normal": ["no mass"]}),
            dtype="float32",
        )
        random = np.random.default_rng(0)

        def embed(record: dict) -> ImageEmbeddings:
            image = random.normal(size=dim)
            lesions = random.normal(size=(len(record["annotations"]), dim))
            patches = None if patch_grid is None else random.normal(size=(*patch_grid, dim))
            return ImageEmbeddings(sign_file(record["file_name"]), image, lesions, patches, WHOLE)

        prompts = random.normal(size=(2, dim))
        write_expert_store(Path(folder), settings, records, embed, prompts, shard_size=100)

    return make


def _write_tiny_dataset(json_file: Path, folder: Path, classes: tuple[str, ...]) -> None:
    """Four images of noise; all but the last have an object of each class."""
    folder.mkdir(parents=True, exist_ok=True)
    json_file.parent.mkdir(parents=True, exist_ok=True)
    height, width, random = 48, 64, np.random.default_rng(0)
    images, annotations = [], []
    for i in range(1, 5):
        image = {"id": i, "file_name": f"{i}.png", "height": height, "width": width}
        labels = {"malignant": i < 4, "lesion": i < 4}
        images.append(image | {"patient_id": f"p{i}", "laterality": "LR"[i % 2]} | labels)
        pixels = random.integers(0, 256, (height, width), dtype=np.uint8)
        assert cv2.imwrite(str(folder / image["file_name"]), pixels)
        for category in range(1, len(classes) + 1) if i < 4 else ():
            x, y = random.integers(0, 30, 2).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": category,
                    "bbox": [x, y, 16, 14],
                    "area": 16 * 14,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(classes, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    json_file.write_text(json.dumps(content))


@pytest.fixture(scope="session")
def reference() -> dict[str, Any]:
    """Weights, inputs and outputs of a public implementation; what needs it is skipped without."""
    named = os.environ.get("MEDMASK_GOLDEN")
    if not named and not REFERENCE_FILE.exists():
        pytest.skip(f"no reference values: {REFERENCE_FILE} is absent, MEDMASK_GOLDEN is not set")
    return torch.load(named or REFERENCE_FILE, weights_only=True)


class GivenFeatures(Backbone):
    """A backbone whose maps are known."""

    def __init__(self, maps: list[Tensor]) -> None:
        super().__init__()
        self.maps = {f"map{i}": m for i, m in enumerate(maps)}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {name: ShapeSpec(channels=m.shape[1]) for name, m in self.maps.items()}

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return self.maps


@pytest.fixture(scope="module")
def reference_model(reference) -> MedMask:
    """Our detector with the weights of the reference, on the reference's backbone maps."""
    meta, published = reference["meta"], reference["state_dict"]
    num_samples = len(published["transformer.encoder.layers.0.self_attn.attention_weights.bias"])
    weights = meta["loss_weights"]
    cost = MatchingCost(weights["class"], weights["boxes"], weights["giou"])
    backbone = GivenFeatures(reference["features"])
    model = MedMask(
        backbone=backbone,
        transformer=DeformableTransformer(
            num_classes=meta["num_classes"],
            num_queries=meta["num_queries"],
            num_levels=meta["num_feature_levels"],
            embed_dim=meta["hidden_dim"],
            num_heads=meta["num_heads"],
            num_points=num_samples // (meta["num_heads"] * meta["num_feature_levels"]),
            feed_forward_dim=meta["feedforward_dim"],
            num_encoder_layers=meta["num_encoder_layers"],
            num_decoder_layers=meta["num_decoder_layers"],
        ),
        criterion=DetectionCriterion(
            matcher=HungarianMatcher(cost),
            class_weight=weights["class"],
            box_weight=weights["boxes"],
            giou_weight=weights["giou"],
        ),
        pixel_mean=[0.0] * 3,
        pixel_std=[1.0] * 3,
    )
    conversion = convert_checkpoint(published, model.state_dict())
    assert not conversion.skipped
    assert not conversion.unexpected
    model.load_state_dict(conversion.state_dict, strict=True)
    return model.eval()


@pytest.fixture(scope="module")
def reference_images(reference) -> ImageList:
    """Images (whose pixels nobody looks at) of the reference's sizes."""
    masks = reference["padding_mask"]
    sizes = [(int((~m[:, 0]).sum()), int((~m[0]).sum())) for m in masks]
    assert torch.equal(make_padding_mask(sizes, masks.shape[1:]), masks)
    return ImageList(torch.zeros(len(masks), 3, *masks.shape[1:]), sizes)
