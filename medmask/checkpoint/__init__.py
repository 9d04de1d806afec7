"""Reading and writing checkpoints, our own and published ones."""

from medmask.checkpoint.checkpointer import MedMaskCheckpointer
from medmask.checkpoint.class_rows import parse_class_rows
from medmask.checkpoint.conversion import Conversion, SkippedParameter, convert_checkpoint
from medmask.checkpoint.conversion_report import format_report
from medmask.checkpoint.published_file import read_published_file
from medmask.checkpoint.tensor_file import load_tensor_file
from medmask.checkpoint.writing import save_weights

__all__ = [
    "Conversion",
    "MedMaskCheckpointer",
    "SkippedParameter",
    "convert_checkpoint",
    "format_report",
    "load_tensor_file",
    "parse_class_rows",
    "read_published_file",
    "save_weights",
]
