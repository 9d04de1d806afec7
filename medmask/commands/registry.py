"""The table of all commands; it imports none of them."""

import re
from typing import NamedTuple


class Command(NamedTuple):
    """One command of ``medmask``."""

    module: str
    """whose ``main`` runs it, made by :func:`medmask.commands.entry_point.entry_point`"""
    tool: str
    """file in ``tools/`` that runs it"""
    help: str
    """one line"""


COMMANDS = {
    "train": Command(
        "medmask.commands.train",
        "lazyconfig_train_net.py",
        "train or evaluate a detector that a LazyConfig file describes",
    ),
    "predict": Command(
        "medmask.commands.predict",
        "predict.py",
        "detect lesions in images: pictures and a COCO-format file",
    ),
    "dicom-results": Command(
        "medmask.commands.dicom_results",
        "dicom_results.py",
        "write predictions as DICOM: reports, presentation states, pictures",
    ),
    "export-annotations": Command(
        "medmask.commands.export_annotations",
        "export_annotations.py",
        "write images and pre-annotations for readers to correct",
    ),
    "import-annotations": Command(
        "medmask.commands.import_annotations",
        "import_annotations.py",
        "read corrected annotations back into a COCO set",
    ),
    "dicom-node": Command(
        "medmask.commands.dicom_node",
        "dicom_node.py",
        "receive studies from a PACS, score them, send the results back",
    ),
    "pacs": Command(
        "medmask.commands.pacs",
        "pacs.py",
        "detect lesions in studies of an archive (DICOMweb), and store the results",
    ),
    "evaluate": Command(
        "medmask.commands.evaluate",
        "evaluate_froc.py",
        "FROC analysis of a file of detections",
    ),
    "fuse-detections": Command(
        "medmask.commands.fuse_detections",
        "fuse_detections.py",
        "make those of one model of the detections of several",
    ),
    "combine-views": Command(
        "medmask.commands.combine_views",
        "combine_views.py",
        "let the views of an exam confirm or deny each other's detections",
    ),
    "calibrate": Command(
        "medmask.commands.calibrate",
        "calibrate.py",
        "turn scores into probabilities, and false-positive rates into thresholds",
    ),
    "check-data": Command(
        "medmask.commands.check_data",
        "check_dataset.py",
        "find what is wrong with annotations, images and splits",
    ),
    "convert": Command(
        "medmask.commands.convert",
        "convert_dataset.py",
        "convert a raw download of a data set to a COCO tree",
    ),
    "convert-checkpoint": Command(
        "medmask.commands.convert_checkpoint",
        "convert_checkpoint.py",
        "convert a published checkpoint",
    ),
    "average-weights": Command(
        "medmask.commands.average_weights",
        "average_weights.py",
        "make one model of a stage and of what it started from",
    ),
    "export": Command(
        "medmask.commands.export",
        "export_onnx.py",
        "write a detector as a file of ONNX, compared with PyTorch",
    ),
    "extract-embeddings": Command(
        "medmask.commands.extract_embeddings",
        "extract_expert_embeddings.py",
        "store the embeddings of a foundation model for training",
    ),
    "make-phantoms": Command(
        "medmask.commands.make_phantoms",
        "make_phantoms.py",
        "generate phantom mammograms with annotations",
    ),
    "train-phantom-expert": Command(
        "medmask.commands.train_phantom_expert",
        "train_phantom_expert.py",
        "train an expert in miniature on phantoms",
    ),
    "run-benchmark": Command(
        "medmask.commands.run_benchmark",
        "run_benchmark.py",
        "run stages and their controls over several seeds",
    ),
    "visualize-results": Command(
        "medmask.commands.visualize_results",
        "visualize_results.py",
        "draw detections of an evaluation over the lesions",
    ),
    "report": Command(
        "medmask.commands.report",
        "report.py",
        "write one HTML page about runs and their differences",
    ),
    "demo": Command(
        "medmask.commands.demo",
        "demo.py",
        "the method in small on phantoms, from data to FROC curves",
    ),
}


def as_tool(command: str) -> str:
    """The command line by which the tool of a command is called from a clone."""
    return f"python tools/{COMMANDS[command].tool}"


def as_tools(text: str) -> str:
    """Examples in which each ``medmask COMMAND`` is replaced by its tool.

    ``-m medmask COMMAND``, by which torchrun starts it, becomes the tool's file.
    """
    names = "|".join(sorted(COMMANDS, key=len, reverse=True))

    def replace(match: re.Match[str]) -> str:
        call = as_tool(match["name"])
        return call.removeprefix("python ") if match["by_module"] else call

    return re.sub(rf"(?P<by_module>-m )?\bmedmask (?P<name>{names})\b", replace, text)
