"""Queues on disk: a folder for each study, with its images, its results and its status.

::

    SPOOL/node.lock
    SPOOL/studies/STUDY/status.json
    SPOOL/studies/STUDY/images/IMAGE.dcm
    SPOOL/studies/STUDY/predictions/SETTINGS/predictions.jsonl
    SPOOL/studies/STUDY/results/STUDY/*.dcm
    SPOOL/removed                  studies on their way out

An image is whole and on the disk before it has its name, so that whatever has a name may be
acknowledged, and a kill at any moment loses nothing that was.
"""

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from medmask.errors import InputError
from medmask.node.received_object import NOT_UNDERSTOOD, ObjectIdentity, RefusedObject
from medmask.node.study_status import (
    ANSWERED,
    FAILED,
    RECEIVING,
    StudyStatus,
    read_status,
    write_status,
)
from medmask.utils.file_lock import lock_file
from medmask.utils.files import atomic_write, check_output_folder, remove_abandoned_files

logger = logging.getLogger(__name__)


class StudyFolder:
    """The folder of a study.

    Attributes:
        uid: Study Instance UID.
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.uid = path.name
        self.path = path
        self._status_file = path / "status.json"
        self._lock = threading.Lock()

    @property
    def predictions(self) -> Path:
        return self.path / "predictions"

    @property
    def results(self) -> Path:
        return self.path / "results"

    def image_path(self, uid: str) -> Path:
        return self.path / "images" / f"{uid}.dcm"

    def images(self) -> dict[str, Path]:
        """Files of the images by SOP Instance UID."""
        return {path.stem: path for path in sorted((self.path / "images").glob("*.dcm"))}

    def result_files(self) -> list[Path]:
        return sorted(self.results.glob("*/*.dcm"))

    def status(self) -> StudyStatus:
        """The status; that of a new study where there is none, or a damaged one."""
        if not self._status_file.exists():
            return StudyStatus()
        try:
            return read_status(self._status_file)
        except InputError as error:
            logger.warning(f"{error}: the study is scored and answered afresh")
            return StudyStatus()

    @contextlib.contextmanager
    def change_status(self) -> Iterator[StudyStatus]:
        """Give the status to be changed, and write it; one thread at a time."""
        with self._lock:
            status = self.status()
            yield status
            write_status(self._status_file, status)

    def reopen(self) -> None:
        """Say that more images come, unless work on the others is not at its end."""
        if not self._status_file.exists() or self.status().state in (ANSWERED, FAILED):
            with self.change_status() as status:
                if status.state in (ANSWERED, FAILED):
                    status.state = RECEIVING

    def was_answered_before(self, when: float) -> bool:
        """Tell whether nothing is left to do, nor was refused, since a time of the file system."""
        status = self.status()
        return (
            status.state == ANSWERED
            and not status.refused
            and not self.has_new_images()
            and self._status_file.stat().st_mtime < when
        )

    def has_new_images(self) -> bool:
        """Tell whether there are images that its results do not know of."""
        return not self.images().keys() <= set(self.status().images)


class Spool:
    """All studies."""

    def __init__(self, folder: Path) -> None:
        """Open the queues in a folder, which is created if it is missing.

        Raises:
            OSError: it cannot be written to.
        """
        self.folder = folder
        self._studies_folder, self._removed_folder = folder / "studies", folder / "removed"
        check_output_folder(self._studies_folder)
        self._studies: dict[str, StudyFolder] = {}
        self._store_lock = threading.Lock()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other nodes out while in this context, and remove what a killed one left half done.

        Raises:
            InputError: another node has the folder.
        """
        with open(self.folder / "node.lock", "a+b") as file:
            lock_file(
                file, f"another node works in {self.folder}: stop it, or choose another --spool"
            )
            remove_abandoned_files(self._studies_folder)
            shutil.rmtree(self._removed_folder, ignore_errors=True)
            yield

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.folder).free

    def studies(self) -> list[StudyFolder]:
        """All that are on the disk."""
        return [self.study(path.name) for path in sorted(self._studies_folder.iterdir())]

    def study(self, uid: str) -> StudyFolder:
        return self._studies.setdefault(uid, StudyFolder(self._studies_folder / uid))

    def store(self, identity: ObjectIdentity, meta: bytes, dataset: memoryview) -> bool:
        """Write an image, on the disk when this returns.

        Args:
            identity: of the image.
            meta: the beginning of the file, up to its dataset.
            dataset: encoded.

        Returns:
            Whether it is new; False where the same bytes are there already.

        Raises:
            RefusedObject: other bytes are there under the same identifier.
            OSError: the disk does not take it.
        """
        study = self.study(identity.study_uid)
        path = study.image_path(identity.instance_uid)
        with self._store_lock:
            is_new = not path.exists()
            if not is_new and path.read_bytes() != b"".join((meta, dataset)):
                raise RefusedObject(
                    NOT_UNDERSTOOD,
                    f"object {identity.instance_uid} is refused: another one of this SOP Instance "
                    "UID was received before",
                )
            try:
                if is_new:
                    with atomic_write(path) as file:
                        file.write(meta)
                        file.write(dataset)
                    study.reopen()
                for folder in (path.parent, path.parent.parent, self._studies_folder):
                    _sync(folder)
            except OSError:
                if is_new:  # it is not acknowledged, and so is new when it is sent again
                    path.unlink(missing_ok=True)
                raise
            return is_new

    def remove_answered(self, before: float) -> int:
        """Remove the studies that were answered before a time, in seconds since the epoch.

        Returns:
            How many. One with results that the destination refused stays.
        """
        removed = 0
        for study in self.studies():
            with self._store_lock:  # no image comes meanwhile
                if study.was_answered_before(before):
                    self._removed_folder.mkdir(exist_ok=True)
                    study.path.rename(self._removed_folder / study.uid)
                    self._studies.pop(study.uid)
                    removed += 1
        shutil.rmtree(self._removed_folder, ignore_errors=True)
        return removed


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk, which a rename alone does not promise."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
