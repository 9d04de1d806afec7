"""Reading every image of data sets once, to find all that are broken before hours of training."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from medmask.data.dataset_dicts import read_dataset_image
from medmask.data.loaders import init_worker
from medmask.errors import InputError

_REPORT_SECONDS = 10.0


class _Faults(Dataset):
    """What is wrong with the image of each record; None where nothing is."""

    def __init__(self, records: Sequence[dict[str, Any]]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> str | None:
        record = self.records[index]
        try:
            read_dataset_image(record)
        except InputError as error:
            return str(error)
        return None


def find_broken_images(
    records: Sequence[dict[str, Any]],
    num_workers: int,
    report: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Read the image of each record as training does.

    Args:
        records: in Detectron2's format.
        num_workers: processes that read; 0 reads in this one.
        report: gets a line on how far it is, and how long it will take, every ten seconds.

    Returns:
        A sentence for each image that cannot be read or has another size than the record says.
    """
    loader = DataLoader(
        _Faults(records),
        batch_size=8,
        num_workers=num_workers,
        collate_fn=list,
        worker_init_fn=init_worker,
    )
    faults: list[str] = []
    done, start = 0, time.monotonic()
    last_report = start
    for batch in loader:
        faults += [fault for fault in batch if fault is not None]
        done += len(batch)
        now = time.monotonic()
        if now - last_report > _REPORT_SECONDS:
            left = (now - start) / done * (len(records) - done)
            report(f"checked {done} of {len(records)} images, {left:.0f} s left")
            last_report = now
    return faults
