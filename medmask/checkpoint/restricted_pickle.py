"""Reading Detectron2's model-zoo pickles without running code from them."""

import collections
import pickle
from typing import Any

import numpy as np

from medmask.checkpoint.tensor_file import read_start
from medmask.errors import InputError

_numpy_core = getattr(np, "_core", None) or np.core  # numpy 2 or numpy 1

# What a dict of numpy arrays consists of, under the names of both.
_ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_module, "_reconstruct"] = _numpy_core.multiarray._reconstruct
    _ALLOWED[_module, "scalar"] = _numpy_core.multiarray.scalar
for _module in ("numpy.core.numeric", "numpy._core.numeric"):
    _ALLOWED[_module, "_frombuffer"] = _numpy_core.numeric._frombuffer  # of pickle protocol 5


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise InputError(
                f"it holds {module}.{name}, and only containers of numpy arrays are read from "
                "pickles; convert it to a .pth file of tensors"
            ) from None


def load_array_pickle(path: str) -> Any:
    """Unpickle containers, strings, numbers and numpy arrays.

    Raises:
        InputError: the file cannot be opened, is damaged, or refers to anything else.
    """
    read_start(path)
    try:
        with open(path, "rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except InputError as error:
        raise InputError(f"checkpoint {path} was not loaded: {error}") from None
    except Exception:  # bytes of any kind come in, so any error comes out
        raise InputError(
            f"checkpoint {path} cannot be read as a pickle: it is damaged, cut off, or no "
            "checkpoint"
        ) from None
