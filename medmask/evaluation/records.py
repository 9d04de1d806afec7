"""The columns of annotations as arrays."""

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from medmask.data.coco_values import column, look_up, quadruples, show
from medmask.evaluation.faults import Faults


class BoxTable:
    """The columns that annotations and detections share, as arrays.

    Attributes:
        boxes: (R, 4) float64, (x0, y0, x1, y1); NaN where a record has no box of four numbers.
        image_indices: (R,) int64, -1 where the image is unknown.
        category_indices: (R,) int64, -1 where the category is unknown.
    """

    def __init__(
        self,
        records: Sequence[dict],
        name: Callable[[int], str],
        image_ids: Sequence[Hashable],
        category_ids: Sequence[Hashable],
    ) -> None:
        self._name = name
        self._columns = {
            field: column(records, field) for field in ("image_id", "category_id", "bbox")
        }
        self.image_indices = look_up(self._columns["image_id"], image_ids)
        self.category_indices = look_up(self._columns["category_id"], category_ids)
        self.boxes = quadruples(self._columns["bbox"])
        self._sides = self.boxes[:, 2:].copy()
        self.boxes[:, 2:] += self.boxes[:, :2]

    def check(self, faults: "Faults", allow_empty_boxes: bool) -> None:
        """Add what is wrong with the records."""
        faults.add_where(self.image_indices < 0, self._describe("image_id", "is unknown"))
        faults.add_where(self.category_indices < 0, self._describe("category_id", "is unknown"))
        malformed = ~np.isfinite(self.boxes).all(axis=1)
        faults.add_where(
            malformed, self._describe("bbox", "is not [x, y, width, height] of finite numbers")
        )
        if allow_empty_boxes:
            too_small, fault = self._sides < 0, "has a negative width or height"
        else:
            too_small, fault = self._sides <= 0, "has no positive width and height"
        faults.add_where(~malformed & too_small.any(axis=1), self._describe("bbox", fault))

    def _describe(self, field: str, fault: str) -> Callable[[int], str]:
        return lambda i: f"{self._name(i)}: {field} {show(self._columns[field][i])} {fault}"
