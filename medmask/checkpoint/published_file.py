"""Finding the parameters in the file of a published checkpoint."""

import argparse
import os
from typing import Any

from torch import Tensor

from medmask.checkpoint.state_dict import find_state_dict
from medmask.checkpoint.tensor_file import load_tensor_file, read_start
from medmask.errors import InputError
from medmask.modeling.weights import name_first
from medmask.utils.finite import is_plain

SAFETENSORS = ".safetensors"


def read_published_file(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read the parameters of a published checkpoint.

    Beside them an optimizer, a schedule and the command-line arguments may stand; see
    :func:`medmask.checkpoint.state_dict.find_state_dict`. Student and teacher are published in
    files of their own. Official files are in the format of torch before 1.6, and those of Hugging
    Face transformers in that of safetensors: both without checksums.

    Args:
        path: a file that ``torch.save`` wrote, or a ``.safetensors`` file.

    Returns:
        Published name -> tensor.

    Raises:
        InputError: the file cannot be read without running code from it, or has no parameters.
    """
    if str(path).endswith(SAFETENSORS):
        content = _load_safetensors(path)
    else:
        # Official checkpoints keep their command line, a bag of attributes without methods.
        content = load_tensor_file(path, plain_classes=[argparse.Namespace], without_checksums=True)
    parameters = find_state_dict(content, path)
    odd = [name for name, x in parameters.items() if not is_plain(x)]
    if odd:
        raise InputError(
            f"checkpoint {path} holds tensors that are sparse, quantized or without values of "
            f"their own ({name_first(odd)}): save dense ones"
        )
    return parameters


def _load_safetensors(path: str | os.PathLike) -> Any:
    read_start(path)
    try:
        from safetensors.torch import load_file
    except ModuleNotFoundError:
        raise InputError(
            f"checkpoint {path} is read by the package safetensors, which is not installed: "
            "pip install safetensors"
        ) from None
    try:
        return load_file(path)
    except Exception as error:  # bytes of any kind come in, so any error comes out
        raise InputError(
            f"checkpoint {path} cannot be read ({name_first([str(error)])}): it is damaged, cut "
            "off, or no checkpoint"
        ) from None
