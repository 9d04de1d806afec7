"""The config of a peer: our data, schedule and hooks, and its model and optimizer."""

import numpy as np
from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from medmask.config.building import build
from medmask.config.yaml_files import MISSING
from medmask.data.loaders import load_dataset_dicts
from medmask.data.mapper import DetectionMapper
from medmask.errors import InputError
from real_mammograms.peers import BUILDERS, LEVELS

_SMALLEST_ANCHOR = 8.0


def to_peer_config(config: DictConfig, method: str) -> None:
    """Put a peer in the place of our detector, in a config of stage 1.

    Backbone, rates and all else stay as they are. Its anchors are those of
    :func:`choose_anchor_sizes`, once they are chosen.

    Args:
        config: is changed.
        method: name of the peer.
    """
    model = config.model
    config.optimizer.params.lr_factors = {
        "bottom_up" if part == "backbone" else part: factor
        for part, factor in config.optimizer.params.lr_factors.items()
        if part == "backbone"
    }
    config.model = L(BUILDERS[method])(
        backbone=model.backbone,
        num_classes=model.transformer.num_classes,
        anchor_sizes=MISSING,
        pixel_mean=model.pixel_mean,
        pixel_std=model.pixel_std,
    )


def choose_anchor_sizes(config: DictConfig) -> None:
    """Fit a peer's anchors to the boxes that it is trained on; reads the images."""
    config.model.anchor_sizes = fit_anchor_sizes(box_sizes(config), len(LEVELS))


def box_sizes(config: DictConfig) -> np.ndarray:
    """(T,) roots of the areas of all training boxes, in pixels of the test loader's images."""
    augmentation = build(config, "dataloader.test.mapper").augmentation
    mapper = DetectionMapper(with_boxes=True, augmentation=augmentation)
    dataset = config.dataloader.train.dataset
    labeled = [each for each in load_dataset_dicts(dataset) if each["annotations"]]
    if not labeled:
        raise InputError(f"data set {dataset} has no boxes to fit anchors to")
    areas = [mapper(each)["instances"].gt_boxes.area().numpy() for each in labeled]
    return np.sqrt(np.concatenate(areas))


def fit_anchor_sizes(sizes: np.ndarray, num_levels: int) -> list[float]:
    """Spread anchors over the sizes of boxes, evenly by their logarithm.

    Args:
        sizes: (T,) of the boxes, in pixels.
        num_levels: of the pyramid, at least 2.

    Returns:
        A size for each level, from the 5th percentile of the boxes to the 95th, each at least a
        fifth above the one before.
    """
    smallest, largest = np.quantile(sizes, [0.05, 0.95])
    smallest = max(float(smallest), _SMALLEST_ANCHOR)
    largest = max(float(largest), smallest * 1.2 ** (num_levels - 1))
    return np.geomspace(smallest, largest, num_levels).tolist()
