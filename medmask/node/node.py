"""A node at work: what comes is queued, what is complete is scored, what is scored is sent."""

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from medmask.dicom_results.highdicom_import import check_highdicom, without_patient_data_in_logs
from medmask.inference.detector import Detector
from medmask.node.arrivals import Arrivals
from medmask.node.options import NodeOptions
from medmask.node.pynetdicom_import import check_pynetdicom
from medmask.node.spool import Spool, StudyFolder
from medmask.node.study_status import ANSWERED, SCORING, SENDING
from medmask.utils.counts import counted

if TYPE_CHECKING:
    from medmask.node.sending import Sender

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_DISK_SECONDS = 30.0
_CLEANING_SECONDS = 3600.0
_SECONDS_A_DAY = 86400.0


class Node:
    """Receives studies, scores them and sends their results.

    All it knows is on the disk: a node that is killed at any moment goes on with what it has
    acknowledged when it is started again.

    Attributes:
        port: that it listens on; 0 as long as it does not.
        is_listening: set while it does.
    """

    def __init__(self, detector: Detector, folder: Path, options: NodeOptions) -> None:
        """Create a node.

        Args:
            detector: scores the images.
            folder: of the queues.
            options: all else.

        Raises:
            InputError: an optional package is missing.
            OSError: the folder cannot be written to.
        """
        check_pynetdicom()
        check_highdicom()
        self._detector, self._options = detector, options
        self._spool = Spool(folder)
        self._arrivals = Arrivals(options.quiet_seconds)
        self._stop = threading.Event()
        self._next_cleaning = 0.0
        self.port = 0
        self.is_listening = threading.Event()

    def run(self) -> None:
        """Work until :meth:`stop` is called, or an exception such as that of a signal comes.

        Raises:
            InputError: the address cannot be listened on, a file of TLS is faulty, or another node
                works in the folder.
        """
        from medmask.node.reception import Reception
        from medmask.node.sending import Sender
        from medmask.node.server import listening

        options = self._options
        with self._spool.locked(), without_patient_data_in_logs("pynetdicom"):
            sender = Sender(self._spool, options)
            reception = Reception(self._spool, options, self._arrivals.note)
            with sender.running(), listening(reception, options) as self.port:
                logger.info(f"{options.title} listens on {options.host}:{self.port}")
                self.is_listening.set()
                self._go_on(sender)  # now: the quiet time runs while clients can send
                while not self._stop.is_set():
                    self._clean_up()
                    uid = self._arrivals.take(_POLL_SECONDS)
                    if uid is not None:
                        self._score(self._spool.study(uid), sender)
        self.is_listening.clear()

    def stop(self) -> None:
        """Have :meth:`run` return after the study that it scores."""
        self._stop.set()

    def _go_on(self, sender: "Sender") -> None:
        """Take up what an earlier run has left."""
        for study in self._spool.studies():
            status = study.status()
            if status.refused:  # the destination may have been told to take them
                with study.change_status() as status:
                    status.refused = {}
                    if status.state == ANSWERED:
                        status.state = SENDING
            if study.has_new_images() or status.state == SCORING:
                # one during which the node died comes after the others
                self._arrivals.note(
                    study.uid, self._options.quiet_seconds + status.attempts * _POLL_SECONDS
                )
            elif status.state == SENDING:
                sender.add(study.uid)

    def _clean_up(self) -> None:
        """Remove old studies, now and then."""
        days = self._options.keep_days
        if days is None or time.monotonic() < self._next_cleaning:
            return
        self._next_cleaning = time.monotonic() + _CLEANING_SECONDS
        try:
            removed = self._spool.remove_answered(time.time() - days * _SECONDS_A_DAY)
        except OSError as error:
            logger.error(f"old studies cannot be removed ({error.strerror}): they stay for now")
            return
        if removed:
            studies = counted(removed, "study", "studies")
            logger.info(f"removed {studies} that had been answered for {counted(days, 'day')}")

    def _score(self, study: StudyFolder, sender: "Sender") -> None:
        from medmask.node.scoring import score_study

        try:
            has_results = score_study(study, self._detector, self._options)
        except OSError as error:
            logger.error(
                f"study {study.uid} cannot be written to ({error.strerror}): again in "
                f"{_DISK_SECONDS:.0f} seconds"
            )
            self._arrivals.note(study.uid, _DISK_SECONDS)
            return
        attempts = study.status().attempts
        if attempts:  # images are left on which the model failed, or for which memory ran out
            delay = self._options.quiet_seconds * 2 ** (attempts - 1)
            logger.warning(
                f"study {study.uid} has images that are to be tried again, in "
                f"{counted(float(f'{delay:.3g}'), 'second')}"
            )
            self._arrivals.note(study.uid, delay)
        if has_results:
            sender.add(study.uid)
        elif not attempts:
            logger.warning(f"study {study.uid} has no results: see its status.json")
