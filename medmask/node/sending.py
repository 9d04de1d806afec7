"""Results to their destination by C-STORE, again and again until they are there."""

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.uid import (
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE

from medmask.node.arrivals import Arrivals
from medmask.node.options import NodeOptions
from medmask.node.server import client_context
from medmask.node.spool import Spool, StudyFolder
from medmask.node.study_status import ANSWERED, SENDING
from medmask.utils.counts import counted

if TYPE_CHECKING:
    from pynetdicom.association import Association

logger = logging.getLogger(__name__)

_CLASSES = (
    ComprehensiveSRStorage,
    MammographyCADSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    SecondaryCaptureImageStorage,
)
_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_CONNECTION_SECONDS = 15.0
_POLL_SECONDS = 0.2
_MOST_DOUBLINGS = 100  # beyond all waits, and far from what a number holds


class _Unavailable(Exception):
    """The destination cannot be reached, or takes nothing now; its text says which."""


class Sender:
    """A thread that sends what studies have, and tries again what failed."""

    def __init__(self, spool: Spool, options: NodeOptions) -> None:
        """Create the sender.

        Args:
            spool: the studies.
            options: destination and times.

        Raises:
            InputError: a file of TLS is faulty.
        """
        self._spool, self._options = spool, options
        self._waiting = Arrivals(quiet_seconds=0.0)
        self._failures: dict[str, int] = {}
        self._stop = threading.Event()
        self._tls = None
        if options.destination_tls and options.tls is not None:
            self._tls = (client_context(options.tls), options.destination.host)
        self._entity = AE(options.title)
        self._entity.connection_timeout = _CONNECTION_SECONDS
        for class_uid in _CLASSES:
            self._entity.add_requested_context(class_uid, _SYNTAXES)

    def add(self, study_uid: str) -> None:
        """Have the results of a study sent."""
        self._waiting.note(study_uid)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Send while in this context; the object that is on its way at its end is sent."""
        thread = threading.Thread(target=self._run, name="sending", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(_CONNECTION_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            uid = self._waiting.take(_POLL_SECONDS)
            if uid is not None:
                self._try(self._spool.study(uid))

    def _try(self, study: StudyFolder) -> None:
        """Send a study's results, or have them wait."""
        try:
            self._send(study)
            self._failures.pop(study.uid, None)
        except Exception as error:
            failures = self._failures[study.uid] = self._failures.get(study.uid, 0) + 1
            delay = retry_delay(failures, self._options)
            reason = str(error) if isinstance(error, _Unavailable) else type(error).__name__
            logger.warning(
                f"results of study {study.uid} are not sent to {self._options.destination} "
                f"({reason}): again in {counted(float(f'{delay:.3g}'), 'second')}"
            )
            self._waiting.note(study.uid, delay)

    def _send(self, study: StudyFolder) -> None:
        left = _results_left(study)
        if left:
            with self._associate() as association:
                for path in left:
                    if self._stop.is_set():
                        return
                    self._send_object(association, study, path)
        with study.change_status() as status:
            if status.state == SENDING and not _results_left(study):
                status.state = ANSWERED
                refused = f", {len(status.refused)} refused by it" if status.refused else ""
                logger.info(
                    f"study {study.uid} is answered: "
                    f"{counted(len(status.sent), 'object is', 'objects are')} at "
                    f"{self._options.destination.title}{refused}"
                )

    @contextlib.contextmanager
    def _associate(self) -> Iterator["Association"]:
        destination = self._options.destination
        association = self._entity.associate(
            destination.host,
            destination.port,
            ae_title=destination.title,
            tls_args=self._tls,
        )
        if not association.is_established:
            is_rejected = association.is_rejected
            raise _Unavailable("it rejects this AE title" if is_rejected else "no connection")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _send_object(self, association: "Association", study: StudyFolder, path: Path) -> None:
        dataset = dcmread(path)
        uid = str(dataset.SOPInstanceUID)  # a report may be another one by now
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
        if dataset.SOPClassUID not in accepted:
            refusal = f"the class {dataset.SOPClassUID.name} is not taken"
        else:
            status = association.send_c_store(dataset)
            if "Status" not in status:
                raise _Unavailable("the connection broke")
            code = status.Status
            if code >> 8 == 0xA7:
                raise _Unavailable("it is out of resources")
            is_sent = code == 0 or code >> 12 == 0xB  # a warning: it has the object
            refusal = "" if is_sent else f"status {code:04X}"
        with study.change_status() as changed:
            if refusal:
                logger.warning(
                    f"{self._options.destination} refuses an object of study {study.uid}: {refusal}"
                )
                changed.refused[uid] = refusal
            else:
                changed.sent.append(uid)


def retry_delay(failures: int, options: NodeOptions) -> float:
    """The seconds to wait after so many failures in a row, at least one."""
    doublings = min(failures - 1, _MOST_DOUBLINGS)
    return min(options.retry_seconds * 2.0**doublings, options.max_retry_seconds)


def _results_left(study: StudyFolder) -> list[Path]:
    """Files of the results that were neither acknowledged nor refused."""
    status = study.status()
    ended = {*status.sent, *status.refused}
    return [path for path in study.result_files() if _uid_of(path) not in ended]


def _uid_of(path: Path) -> str:
    return str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
