"""The config that registers data sets of the user's own, for commands that take their names."""

import argparse
import os

from medmask.commands.options import Options
from medmask.errors import InputError


def add_dataset_config(options: Options) -> None:
    """Add ``--config-file`` to a command that reads nothing else of a config."""
    options.add_argument(
        "--config-file",
        metavar="FILE",
        help="for a data set of your own: the .py config that registers it, or the config.yaml of "
        "a run on it",
    )


def register_datasets_of_config(path: str | os.PathLike | None) -> None:
    """Register the data sets that a config registers or describes.

    Args:
        path: of the config; None does nothing.

    Raises:
        InputError: there is no such file, or it is faulty.
    """
    if path is None:
        return
    if not os.fspath(path):  # such as of an unset variable
        raise InputError("--config-file is empty: name a file, or leave it out")
    from medmask.config.loading import load_any_config

    load_any_config(path, without=("loss_hooks",))


def annotation_file_of(dataset: str) -> str | None:
    """Name the annotation file of a registered set, which no output may replace.

    Returns:
        Its path; None of sets that come from no file.

    Raises:
        InputError: no set has this name, or its file is absent.
    """
    from detectron2.data import MetadataCatalog

    from medmask.data.catalog import check_registered

    check_registered(dataset)
    return getattr(MetadataCatalog.get(dataset), "json_file", None)


def register_datasets_of_detector(args: argparse.Namespace) -> None:
    """Register the data sets that ``--config-file`` brings along, or the config of the weights.

    An exported file brings none along, and may stand beside a config that is not its own.

    Args:
        args: with ``model``, ``checkpoint`` and ``config_file``.

    Raises:
        InputError: the config is faulty, or not where ``--config-file`` says.
    """
    if args.model is None:
        register_datasets_of_weights(args)
    else:
        register_datasets_of_config(args.config_file)


def register_datasets_of_weights(args: argparse.Namespace) -> None:
    """Register the data sets that the config of weights brings along, if there is one.

    Args:
        args: with ``checkpoint`` and ``config_file``.

    Raises:
        InputError: the config is faulty, or not where ``--config-file`` says.
    """
    beside = args.checkpoint.with_name("config.yaml")
    register_datasets_of_config(args.config_file or (beside if beside.is_file() else None))
