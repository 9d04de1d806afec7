"""The average of a stage and of what it started from, in place of a training."""

from omegaconf import DictConfig

from medmask.checkpoint import (
    average_weights,
    find_state_dict,
    load_tensor_file,
    write_torch_file,
)
from medmask.utils.file_hash import hash_if_there
from real_mammograms.order import WEIGHTS, Order


def average(order: Order, _: DictConfig) -> None:
    """Average the weights of a cell's stage and of that stage's start, and leave a record."""
    stage = order.cell.before
    assert stage is not None
    assert stage.before is not None
    paths = [order.output / each.name / WEIGHTS for each in (stage.before, stage)]
    weights = average_weights({str(p): find_state_dict(load_tensor_file(p), p) for p in paths})
    write_torch_file({"model": weights}, order.folder / WEIGHTS)
    order.write_record(
        model="average of start and stage",
        start_sha256=hash_if_there(order.start_weights),
        steps=0,
        minutes=0.0,
    )
