"""Export to ONNX, and prediction by exported files."""

from typing import TYPE_CHECKING

from medmask.utils.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from medmask.export.predictor import OnnxPredictor
    from medmask.export.writing import ExportSummary, export_onnx

__all__ = ["ExportSummary", "OnnxPredictor", "export_onnx"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ExportSummary": "medmask.export.writing",
        "OnnxPredictor": "medmask.export.predictor",
        "export_onnx": "medmask.export.writing",
    },
)
