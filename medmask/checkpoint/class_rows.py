"""Choosing the rows of published class heads that become the classes of our detector."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from medmask.errors import InputError
from medmask.modeling.weights import CLASS_HEADS
from medmask.utils.counts import counted


def parse_class_rows(text: str) -> list[int]:
    """Read rows as a user writes them, such as ``1`` or ``1,2,3``.

    Raises:
        InputError: it is no list of numbers from 0 on.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise InputError(
            f"--class-rows is {text!r}: give the row of each of the model's classes, counted from "
            "0 and separated by commas, such as 1 or 1,2,3"
        )
    return [int(part) for part in parts]


def check_class_rows(
    rows: Sequence[int],
    candidates: Mapping[str, Sequence[str]],
    published: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
) -> None:
    """Check that rows can be taken from published class heads, one for each class of the model.

    Args:
        rows: of the published class heads, by class of the model.
        candidates: our name -> the published names of its copies.
        published: published name -> tensor.
        target: the state dict of the model.

    Raises:
        InputError: they cannot.
    """
    heads = [
        name for ours, names in candidates.items() if ours.startswith(CLASS_HEADS) for name in names
    ]
    sizes = {len(published[name]) if published[name].dim() else 0 for name in heads}
    if not sizes:
        raise InputError("--class-rows chooses from class heads, and the file has none")
    num_rows = min(sizes)
    for row in rows:
        if not 0 <= row < num_rows:
            raise InputError(
                f"--class-rows names row {row}, but the file's class heads have the rows 0 to "
                f"{num_rows - 1}"
            )
    if len(set(rows)) < len(rows):
        raise InputError("--class-rows names a row twice: each class needs a row of its own")
    classes = {len(x) for name, x in target.items() if name.startswith(CLASS_HEADS)}
    if classes != {len(rows)}:
        raise InputError(
            f"--class-rows names {counted(len(rows), 'row')}, but the number of classes is "
            f"{', '.join(map(str, sorted(classes)))} (model.transformer.num_classes): name "
            "one for each, in the order of the model's classes"
        )
