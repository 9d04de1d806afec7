"""The config of a cell, and what of it has changed since the cell was trained."""

from collections.abc import Sequence
from dataclasses import replace

from omegaconf import DictConfig

from medmask.config import load_config
from medmask.config.difference import result_differences, result_values
from medmask.config.yaml_files import read_config_yaml
from medmask.errors import InputError
from real_mammograms.cells import PEERS, YOLO
from real_mammograms.order import Order
from real_mammograms.peer_config import to_peer_config

CONFIG = "config.yaml"


def load_cell_config(order: Order) -> DictConfig:
    """Load the config of a cell's data and model; a peer's anchors are to be chosen yet."""
    cell = order.cell
    options = [*cell.options(), *order.options, f"train.output_dir={order.folder}"]
    options.append("train.gradient_norm_period=0")  # the minutes are those of training
    config = load_config(str(cell.page()), options)
    if order.start_weights is not None:
        config.train.init_checkpoint = str(order.start_weights)
    if cell.method in PEERS:
        to_peer_config(config, cell.method)
    return config


def config_changes(order: Order, options: Sequence[str]) -> list[str]:
    """Tell what of the config has changed since a cell was trained.

    Args:
        order: for the cell.
        options: ``key=value`` settings that it was trained with.

    Returns:
        A phrase for each key with both values.

    Raises:
        InputError: the config that it left is gone or damaged.
    """
    if order.cell.method == YOLO:  # which has no config of ours
        return []
    path = order.folder / CONFIG
    if not path.is_file():
        raise InputError(f"{path} is gone, so nothing tells how {order.cell.name} was trained")
    decided = [] if order.start_weights is None else ["train.init_checkpoint"]  # a path
    if order.cell.method in PEERS:
        decided.append("model.anchor_sizes")  # by the data
    now = load_cell_config(replace(order, options=tuple(options)))
    before = read_config_yaml(path, any_target=True)
    return result_differences(result_values(before, decided), result_values(now, decided))
