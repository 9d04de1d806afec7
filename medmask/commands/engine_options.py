"""The options that say which processes predict, and what they mean."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.errors import InputError

if TYPE_CHECKING:
    from medmask.inference.image_predictor import ImagePredictor
    from medmask.inference.ray_engine import RayEngine

ENGINES = ("local", "ray")


def add_engine_options(group: argparse._ArgumentGroup) -> None:
    """Add ``--engine`` and ``--replicas``."""
    group.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="local: the model in this process; ray: copies of it on the cluster that RAY_ADDRESS "
        "names, or on this machine's cores or GPUs (default %(default)s)",
    )
    group.add_argument(
        "--replicas",
        type=int,
        metavar="R",
        help="of --engine ray: copies of the model, each with W workers (default: as many as the "
        "cluster has room for, one for each GPU or each 1 + W cores)",
    )


@contextlib.contextmanager
def open_engine(
    args: argparse.Namespace, load: "Callable[[argparse.Namespace], ImagePredictor]"
) -> "Iterator[ImagePredictor | RayEngine]":
    """Load the model here, or copies of it on a cluster.

    Args:
        args: with ``engine``, ``replicas``, ``workers``, ``device``, ``mirrored``, and what
            ``load`` needs.
        load: loads it; a function of a module.

    Raises:
        InputError: the options do not go together, or the model cannot be loaded.
    """
    if args.engine == "local":
        if args.replicas is not None:
            raise InputError("--replicas needs --engine ray")
        yield load(args)
        return
    if args.mirrored:
        raise InputError(
            "--mirrored needs --engine local: copies on a cluster see images as they are"
        )
    if args.device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device is {args.device!r}, but with --engine ray auto, cpu or cuda")
    from medmask.inference.ray_engine import RayEngine

    engine = RayEngine(
        RemoteLoader(args, load),
        replicas=args.replicas,
        workers=args.workers,
        device="cpu" if args.model else args.device,
    )
    with engine:
        yield engine


class RemoteLoader:
    """Loads the model of a command line in another process, which has another working folder."""

    def __init__(
        self,
        args: argparse.Namespace,
        load: "Callable[[argparse.Namespace], ImagePredictor]",
    ) -> None:
        self._load = load
        self._values = {name: _absolute(value) for name, value in vars(args).items()}
        if args.config_file:
            self._values["config_file"] = str(Path(args.config_file).absolute())

    def __call__(self, device: str) -> "ImagePredictor":
        return self._load(argparse.Namespace(**self._values | {"device": device}))


def _absolute(value: object) -> object:
    return value.absolute() if isinstance(value, Path) else value
