"""A search for broken images, before hours of training: every image is read once."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import Dataset

from medmask.data.dataset_dicts import read_dataset_image
from medmask.data.worker_loader import WorkerLoader
from medmask.errors import InputError
from medmask.utils.counts import counted

_REPORT_SECONDS = 10.0


class _Faults(Dataset[str | None]):
    """The fault of the image of each dataset dict; None where there is none."""

    def __init__(self, dataset_dicts: Sequence[dict[str, Any]], apply_voi: bool) -> None:
        self.dataset_dicts = dataset_dicts
        self.apply_voi = apply_voi

    def __len__(self) -> int:
        return len(self.dataset_dicts)

    def __getitem__(self, index: int) -> str | None:
        try:
            read_dataset_image(self.dataset_dicts[index], apply_voi=self.apply_voi)
        except InputError as error:
            return str(error)
        return None


def find_broken_images(
    dataset_dicts: Sequence[dict[str, Any]],
    num_workers: int,
    report: Callable[[str], None] = lambda line: None,
    *,
    apply_voi: bool = True,
) -> list[str]:
    """Read the image of each dataset dict as training does.

    Args:
        dataset_dicts: in Detectron2's format.
        num_workers: processes that read; 0 reads in this one.
        report: gets a line on the progress and the time left, every ten seconds.
        apply_voi: as for :func:`medmask.data.read_image`; as the training's mapper reads them.

    Returns:
        A sentence for each image that cannot be read or has another size than its dict says.

    Raises:
        InputError: a process that reads was killed.
    """
    images = _Faults(dataset_dicts, apply_voi)
    loader = WorkerLoader(images, batch_size=8, num_workers=num_workers)
    faults: list[str] = []
    done, start = 0, time.monotonic()
    last_report = start
    for batch in loader:
        faults += [fault for fault in batch if fault is not None]
        done += len(batch)
        now = time.monotonic()
        if now - last_report > _REPORT_SECONDS:
            left = (now - start) / done * (len(dataset_dicts) - done)
            report(f"checked {done} of {counted(len(dataset_dicts), 'image')}, {left:.0f} s left")
            last_report = now
    return faults
