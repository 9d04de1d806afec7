"""Reading Detectron2's model-zoo pickles without running code from them.

Numpy rebuilds dtypes and arrays from a pickle without checking what it is given, and damaged
pickles make it crash; so nothing of numpy's own is called while a pickle is read.
"""

import collections
import os
import pickle
import pickletools
import re
from typing import Any, BinaryIO, Literal

import numpy as np

from medmask.checkpoint.tensor_file import read_start
from medmask.errors import InputError


class _Dtype:
    """Stands for ``numpy.dtype``."""

    def __init__(self, name: Any, *flags: Any) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[biuf]\d", name):
            raise InputError("it holds an array of something else than numbers")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for ``numpy.ndarray``."""

    value: np.ndarray

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        self.value = _to_array(content, dtype, shape, "F" if is_fortran else "C")


def _to_array(
    content: Any, dtype: _Dtype, shape: Any = (), order: Literal["C", "F"] = "C"
) -> np.ndarray:
    if isinstance(content, str):  # bytes of Python 2
        content = content.encode("latin1")
    array = np.frombuffer(content, dtype.dtype).reshape(shape, order=order)
    return array.astype(dtype.dtype.newbyteorder("="))


# What a dict of numpy arrays consists of, under the names of numpy 1 and of numpy 2.
_ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
}
for _core in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _Array
    _ALLOWED[f"{_core}.multiarray", "scalar"] = lambda dtype, content: _to_array(content, dtype)
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = _to_array  # of pickle protocol 5


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
    """Unpickle containers, strings, numbers, and dicts (of dicts) of numpy arrays.

    Raises:
        InputError: the file cannot be opened, is damaged, or refers to anything else.
    """
    read_start(path)
    try:
        with open(path, "rb") as file:
            _check_numbering(file)
            content = _ArrayUnpickler(file, encoding="latin1").load()
        return _with_arrays(content, depth=2)
    except InputError as error:
        raise InputError(f"checkpoint {path} was not loaded: {error}") from None
    except Exception:  # bytes of any kind come in, so any error comes out
        raise InputError(
            f"checkpoint {path} cannot be read as a pickle: it is damaged, cut off, or no "
            "checkpoint"
        ) from None


def _check_numbering(file: BinaryIO) -> None:
    """Refuse numbers of values beyond their count: the unpickler makes room for all up to them."""
    size = os.fstat(file.fileno()).st_size
    for operation, number, _ in pickletools.genops(file):
        if operation.name in ("PUT", "LONG_BINPUT") and number is not None and number > size:
            raise InputError(
                "it numbers more values than it can hold; it is damaged, copy it again"
            )
    file.seek(0)


def _with_arrays(content: Any, depth: int) -> Any:
    """The arrays themselves in place of what stood for them."""
    if isinstance(content, _Array):
        return content.value
    if isinstance(content, dict) and depth:
        return {key: _with_arrays(x, depth - 1) for key, x in content.items()}
    return content
