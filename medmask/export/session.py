"""Running a graph by ONNX Runtime."""

from typing import Any

import numpy as np
import torch

from medmask.errors import InputError
from medmask.export.graph import INPUTS, OUTPUTS
from medmask.export.libraries import import_library
from medmask.export.parity import Arrays
from medmask.utils.openmp import choose_num_threads


class GraphSession:
    """A graph that is ready to run, on the CPU.

    Attributes:
        properties: name -> value, of the file's metadata.
    """

    def __init__(self, content: bytes, source: str, num_threads: int | None = None) -> None:
        """Load a graph.

        Args:
            content: of the file.
            source: the file, as the beginning of error messages.
            num_threads: that it computes with; those that PyTorch would take if None.

        Raises:
            InputError: ONNX Runtime cannot load it, or it has other inputs or outputs.
        """
        runtime = import_library("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what fails is told by an exception, once
        options.intra_op_num_threads = num_threads or choose_num_threads(torch.get_num_threads())
        try:
            self._session = runtime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its classes are private
            raise InputError(
                f"{source} cannot be loaded by ONNX Runtime ({_first_line(error)}): export the "
                "model again"
            ) from None
        names = tuple(x.name for x in self._session.get_inputs())
        given = tuple(x.name for x in self._session.get_outputs())
        if (names, given) != (INPUTS, OUTPUTS):
            raise InputError(
                f"{source} takes {', '.join(names)} and gives {', '.join(given)}, so it is no file "
                "of `medmask export`: export the checkpoint by it"
            )
        self.properties: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._source = source

    def __call__(self, images: np.ndarray, sizes: np.ndarray) -> Arrays:
        """Detect; see :meth:`medmask.export.graph.DetectorGraph.forward`.

        Raises:
            InputError: ONNX Runtime fails.
        """
        inputs = dict(zip(INPUTS, (images, sizes), strict=True))
        try:
            outputs: list[Any] = self._session.run(list(OUTPUTS), inputs)
        except Exception as error:  # its classes are private
            raise InputError(
                f"{self._source} cannot be run by ONNX Runtime on images of {images.shape} "
                f"({_first_line(error)}): export the model again"
            ) from None
        return outputs[0], outputs[1], outputs[2]


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
