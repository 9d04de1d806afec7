"""Reading and writing checkpoints, our own and published ones."""

from medmask.checkpoint.averaging import average_weights, weight_distance
from medmask.checkpoint.checkpointer import MedMaskCheckpointer
from medmask.checkpoint.class_rows import parse_class_rows
from medmask.checkpoint.conversion import Conversion, SkippedParameter, convert_checkpoint
from medmask.checkpoint.conversion_report import format_report
from medmask.checkpoint.published_file import read_published_file
from medmask.checkpoint.state_dict import find_state_dict
from medmask.checkpoint.tensor_file import load_tensor_file
from medmask.checkpoint.writing import save_weights, write_torch_file

__all__ = [
    "Conversion",
    "MedMaskCheckpointer",
    "SkippedParameter",
    "average_weights",
    "convert_checkpoint",
    "find_state_dict",
    "format_report",
    "load_tensor_file",
    "parse_class_rows",
    "read_published_file",
    "save_weights",
    "weight_distance",
    "write_torch_file",
]
