"""The options of predictions on many images, and what they mean."""

import argparse
from collections.abc import Iterable
from itertools import islice

from medmask.commands.options import parsed_by
from medmask.inference.options import FORMATS, MOST_WORKERS, PredictionOptions, Shard

_FEW_IMAGES = 50  # on which processes that read, which take seconds to start, do not pay
_CORES_OF_A_WORKER = 8  # beside a model on the CPU


def add_archive_options(group: argparse._ArgumentGroup) -> None:
    """Add ``--shard``, ``--merge``, ``--formats``, ``--workers`` and ``--batch-size``."""
    defaults = PredictionOptions()
    group.add_argument(
        "--shard",
        type=parsed_by(Shard.parse),
        default=defaults.shard,
        metavar="I/N",
        help="take every N-th image from the I-th on, counted from 1, beside other processes that "
        "take the others; all write to one DIR",
    )
    group.add_argument(
        "--merge",
        action="store_true",
        help="predict on nothing, but write the results of all shards in DIR",
    )
    group.add_argument(
        "--formats",
        nargs="+",
        choices=FORMATS,
        default=defaults.formats,
        help="of the results: json (detections.json), csv and parquet (tables detections and "
        "images) (default json)",
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="W",
        help="processes that read images ahead of the model; 0 reads in the model's own (default: "
        f"for {_FEW_IMAGES} images and more, up to {MOST_WORKERS} with a GPU, else one for every "
        f"{_CORES_OF_A_WORKER} cores; of --engine ray for each copy, and none without a GPU)",
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=defaults.batch_size,
        metavar="B",
        help="most images of one size that go through the model together; the last bits of scores "
        "depend on it (default %(default)s, as in an evaluation)",
    )


def choose_workers(images: Iterable[object], *, cores: int, is_on_gpu: bool) -> int:
    """Choose how many processes read ahead of the model, where nobody says so.

    A model on the CPU uses all cores already. Of few, a process that reads takes more than it
    saves; the more there are, the longer they would all wait while one of them reads.

    Args:
        images: to predict on.
        cores: that this process may use.
        is_on_gpu: whether the model is.
    """
    if len(list(islice(images, _FEW_IMAGES))) < _FEW_IMAGES:
        return 0
    return min(MOST_WORKERS, cores if is_on_gpu else cores // _CORES_OF_A_WORKER)
