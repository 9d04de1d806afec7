"""The graph of a detector, as the tracer of PyTorch writes it."""

import io
import warnings

import torch

from medmask.errors import InputError
from medmask.export.graph import INPUTS, OUTPUTS, DetectorGraph
from medmask.modeling import MedMask
from medmask.utils.failures import one_line

OPSET = 18
_DYNAMIC = {
    "images": {0: "images", 2: "height", 3: "width"},
    "sizes": {0: "images"},
    "boxes": {0: "images", 1: "detections"},
    "scores": {0: "images", 1: "detections"},
    "classes": {0: "images", 1: "detections"},
}


def trace(model: MedMask) -> bytes:
    """Write a detector as a graph for images of any size and number.

    Args:
        model: in evaluation mode, on the CPU.

    Returns:
        The file of ONNX, without metadata. Nobody has compared it with the model.

    Raises:
        InputError: the model uses what PyTorch cannot write as ONNX.
    """
    example = torch.rand(2, 3, 130, 97) * 255, torch.tensor([[130, 90], [64, 97]])
    content = io.BytesIO()
    try:
        # the comparison finds what the tracer warns of
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                DetectorGraph(model),
                example,
                content,  # type: ignore[arg-type]  # the exporter of TorchScript takes files, too
                input_names=list(INPUTS),
                output_names=list(OUTPUTS),
                dynamic_axes=_DYNAMIC,
                opset_version=OPSET,
                # the exporter of TorchScript needs no other package than PyTorch
                dynamo=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = one_line(error)[:300]
        raise InputError(
            f"model.backbone uses what PyTorch cannot write as ONNX ({reason}): predict with the "
            "checkpoint itself, or choose another backbone"
        ) from None
    return content.getvalue()
