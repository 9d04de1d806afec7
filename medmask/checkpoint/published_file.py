"""Finding the parameters in the file of a published checkpoint."""

import argparse
import os
from collections.abc import Mapping

from torch import Tensor

from medmask.checkpoint.tensor_file import load_tensor_file
from medmask.errors import InputError

ENTRY = "model"


def read_published_file(path: str | os.PathLike) -> dict[str, Tensor]:
    """Read the parameters of a published checkpoint.

    They are the file's entry ``model``, beside which an optimiser, a schedule and the command-line
    arguments may stand, or the whole file. Student and teacher are published in files of their own.

    Args:
        path: a file that ``torch.save`` wrote.

    Returns:
        Published name -> tensor.

    Raises:
        InputError: the file cannot be read without running code from it, or has no parameters.
    """
    # Official checkpoints keep their command line, a bag of attributes without methods.
    content = load_tensor_file(path, plain_classes=[argparse.Namespace])
    if isinstance(content, Mapping) and isinstance(content.get(ENTRY), Mapping):
        content = content[ENTRY]
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"checkpoint {path} holds no parameters")
    strangers = [str(name) for name, x in content.items() if not isinstance(x, Tensor)]
    if strangers:
        raise InputError(
            f"checkpoint {path} has neither an entry {ENTRY!r} nor parameters alone: "
            f"{', '.join(strangers[:5])} are no tensors; save the model's state_dict as a file"
        )
    return dict(content)
