from collections.abc import Iterator

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from medmask.coco import decode_mask, encode_mask
from medmask.errors import InputError


def make_masks() -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    yield from (np.zeros((3, 5), bool), np.ones((4, 2), bool), np.ones((1, 1), bool))
    for size in ((1, 9), (7, 1), (13, 21), (200, 3)):
        yield random.random(size) < 0.4
    large = np.zeros((700, 900), bool)
    large[100:650, 200:201] = large[13, 777:900] = True
    yield large


@pytest.mark.parametrize(
    "mask", list(make_masks()), ids=lambda mask: "x".join(map(str, mask.shape))
)
def test_runs_are_those_of_pycocotools(mask):
    runs = encode_mask(mask)
    assert np.array_equal(decode_mask(runs, mask.shape), mask)
    packed = coco_mask.frPyObjects({"size": list(mask.shape), "counts": runs}, *mask.shape)
    assert np.array_equal(coco_mask.decode(packed), mask)
    theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert np.array_equal(decode_mask(theirs["counts"].decode(), mask.shape), mask)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([1, 2], "of 3 pixels, but an image of 3 x 2 "),
        ([7, -1], "no run lengths"),
        ([2.0, 4], "no run lengths"),
        (None, "no run lengths"),
        ("\x00", "of 0 pixels"),
        ("o" * 1000, "of 0 pixels"),
        ("P", "of 0 pixels"),
    ],
    ids=["short", "negative", "float", "none", "character", "endless", "unfinished"],
)
def test_faulty_runs_are_refused(runs, message):
    with pytest.raises(InputError, match=message):
        decode_mask(runs, (2, 3))
