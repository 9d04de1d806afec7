"""Order that the process of a cell is given, and the files that it leaves."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medmask.utils.file_hash import hash_if_there
from medmask.utils.json_files import write_json
from real_mammograms.cells import YOLO, Cell

WEIGHTS = "model_final.pth"
RECORD = "training.json"
LOG = "log.txt"


@dataclass(frozen=True)
class Order:
    """A cell, and what to do for it."""

    cell: Cell
    output: Path
    """the folder of all cells"""
    tests: tuple[str, ...]
    minutes: float | None
    """of training; None for the steps of the config"""
    options: tuple[str, ...] = ()
    """``key=value`` settings of the config"""
    cores: tuple[int, ...] = ()
    """that the process may use; all if empty"""
    yolo: str | None = None
    """YOLO's program"""
    yolo_weights: str | None = None
    """that YOLO starts from; None for none"""

    @property
    def folder(self) -> Path:
        """The folder of the cell."""
        return self.output / self.cell.name

    @property
    def start_weights(self) -> Path | None:
        """The weights of the cell that this one starts from."""
        before = self.cell.before
        return None if before is None else self.output / before.name / WEIGHTS

    def has_other_start(self, record: Mapping[str, Any], *, is_start_due: bool = False) -> bool:
        """Tell whether the cell's start was trained again since, or is to be.

        Args:
            record: of the training, by :meth:`write_record`; one that does not tell is taken.
            is_start_due: whether the start is to be trained.
        """
        before = record.get("start_sha256")
        if before is None:
            return False
        return is_start_due or hash_if_there(self.start_weights) not in (None, before)

    def asked(self) -> dict[str, Any]:
        """List what a training depends on besides its cell, in JSON values."""
        asked: dict[str, Any] = {"minutes": self.minutes, "options": list(self.options)}
        return asked | ({"weights": self.yolo_weights} if self.cell.method == YOLO else {})

    def write(self) -> Path:
        """Write the order into the cell's folder."""
        path = self.folder / "order.json"
        write_json(path, asdict(self) | {"output": str(self.output)})
        return path

    @classmethod
    def read(cls, path: Path) -> "Order":
        """Read what :meth:`write` wrote."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        given: dict[str, Any] = {
            name: tuple(fields[name]) for name in ("tests", "options", "cores")
        }
        cell, output = Cell(**fields["cell"]), Path(fields["output"])
        given |= {name: fields[name] for name in ("minutes", "yolo", "yolo_weights")}
        return cls(cell, output, **given)

    def write_record(self, **facts: Any) -> None:
        """Write the record of the training, which says that it is done."""
        record = {**facts, "cores": list(self.cores), "asked": self.asked()}
        write_json(self.folder / RECORD, record)

    def read_record(self) -> dict[str, Any]:
        """Read the record of the training, which is done."""
        return json.loads((self.folder / RECORD).read_text(encoding="utf-8"))


def detections_file(folder: Path, test: str) -> Path:
    """Path of the detections of a test."""
    return folder / test / "froc_detections.json"
