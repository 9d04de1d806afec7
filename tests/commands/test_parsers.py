"""The defaults and choices of parsers, which import nothing heavy, are those of the package."""

from medmask.annotation.options import ExportOptions, RankingOptions
from medmask.commands import (
    convert,
    dicom_node,
    dicom_results,
    export_annotations,
    extract_embeddings,
    train,
)
from medmask.commands.registry import COMMANDS
from medmask.converters.options import ConversionOptions
from medmask.dicom_results.options import OBJECTS, ResultOptions
from medmask.engine import RunMode
from medmask.experts.extraction import ExtractionSettings
from medmask.node.options import Destination, NodeOptions


def test_conversion():
    args = convert.make_parser().parse_args(["cmmd", "raw", "--output", "x"])
    defaults = ConversionOptions()
    for name in ("folds", "seed", "max_size", "link"):
        assert getattr(args, name) == getattr(defaults, name), name
    assert tuple(args.labels) == defaults.labels


def test_embeddings():
    args = extract_embeddings.make_parser().parse_args(["--dataset", "a", "--output", "x"])
    defaults = ExtractionSettings()
    for name in ("crop_context", "dtype", "batch_size", "shard_size", "num_workers"):
        assert getattr(args, name) == getattr(defaults, name), name
    assert args.no_patch_grid is not defaults.with_patch_grid


def test_dicom_results():
    args = dicom_results.make_parser().parse_args(["predictions", "--output", "x"])
    assert tuple(args.objects) == ResultOptions().objects == OBJECTS


def test_annotations():
    args = export_annotations.make_parser().parse_args(["predictions", "--output", "x"])
    defaults = ExportOptions()
    for name in ("score_threshold", "max_size", "crop_to_breast", "image_url"):
        assert getattr(args, name) == getattr(defaults, name), name
    ranking = RankingOptions()
    for name in ("count", "patients", "least_score", "seed"):
        assert getattr(args, name) == getattr(ranking, name), name
    assert ranking.score_threshold == defaults.score_threshold


def test_dicom_node():
    parser = dicom_node.make_parser()
    args = parser.parse_args(["--spool", "x", "--destination", "PACS@10.0.0.5:104"])
    assert dicom_node.node_options(args) == NodeOptions(Destination("PACS", "10.0.0.5", 104))


def test_modes_of_a_run():
    parser = train.make_parser()
    for options, mode in (
        ([], RunMode.NEW),
        (["--resume"], RunMode.RESUME),
        (["--overwrite"], RunMode.OVERWRITE),
        (["--eval-only"], RunMode.EVALUATE),
    ):
        assert RunMode(parser.parse_args(options).mode) is mode


def test_every_command_has_examples():
    for name, command in COMMANDS.items():
        module = __import__(command.module, fromlist=["make_parser"])
        assert f"medmask {name} " in module.make_parser().epilog
