"""Masks as run lengths, as COCO's ``segmentation`` may hold them.

A mask of (height, width) is read column by column; its runs are the numbers of pixels off and on
by turns, the first of pixels off, which may be 0. Compressed runs are text: each number is the
difference to the one before the last (from the fourth number on), in groups of five bits, the
lowest first, and each group is a character from ``0`` (48) on whose bit 32 tells that more follow.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medmask.errors import InputError

_FIRST_CHARACTER = 48
_BITS, _MORE = 5, 32
_LARGEST = 2**31 - 1


def encode_mask(mask: np.ndarray) -> list[int]:
    """(H, W) bool -> its runs."""
    pixels = np.concatenate(([False], mask.ravel(order="F"), [True]))
    changes = np.flatnonzero(pixels[1:] != pixels[:-1])
    changes = changes[changes < mask.size]
    return np.diff(np.concatenate(([0], changes, [mask.size]))).tolist()


def decode_mask(runs: Any, size: tuple[int, int]) -> np.ndarray:
    """Decode runs, compressed or not.

    Args:
        runs: whole numbers, or text.
        size: (height, width) of the mask.

    Returns:
        (H, W) bool.

    Raises:
        InputError: these are no runs of such a mask.
    """
    height, width = size
    counts = _decompress(runs) if isinstance(runs, str) else runs
    is_list = isinstance(counts, Sequence) and all(type(x) is int for x in counts)
    if not is_list or any(not 0 <= x <= _LARGEST for x in counts):
        raise InputError(
            "its counts are no run lengths: give whole numbers, or COCO's text of them"
        )
    if sum(counts) != height * width:
        raise InputError(
            f"its counts are of {sum(counts)} pixels, but an image of {width} x {height} (width x "
            f"height) has {height * width}"
        )
    is_on = np.arange(len(counts)) % 2 == 1
    return np.repeat(is_on, counts).reshape(width, height).T


def _decompress(text: str) -> list[int]:
    """Read COCO's text; nothing where it ends within a number."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - _FIRST_CHARACTER
        if not 0 <= group < 2 * _MORE or shift > 2 * _LARGEST.bit_length():
            return []
        value |= (group & (_MORE - 1)) << shift
        shift += _BITS
        if group & _MORE:
            continue
        if group & (_MORE >> 1):  # the sign
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return [] if shift else counts
