"""Reading Detectron2's model-zoo pickles without running code from them."""

import collections
import pickle
from typing import IO, Any

import numpy as np

from medmask.errors import InputError

# What a dict of numpy arrays consists of, under the names of numpy 1 and numpy 2.
_ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_module, "_reconstruct"] = np._core.multiarray._reconstruct
    _ALLOWED[_module, "scalar"] = np._core.multiarray.scalar


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise InputError(
                f"it holds {module}.{name}, and only containers of numpy arrays are read from "
                "pickles; convert it to a .pth file of tensors"
            ) from None


def load_array_pickle(file: IO[bytes]) -> Any:
    """Unpickle containers, strings, numbers and numpy arrays.

    Raises:
        InputError: the pickle refers to anything else.
    """
    return _ArrayUnpickler(file, encoding="latin1").load()
