"""A node that is killed at random moments while a client sends, and at the end has lost nothing."""

import random
import threading
import time
from collections import defaultdict
from pathlib import Path

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="a DICOM node needs the extra node")
pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from dicom_peers import Client, RecordingDestination, wait_until
from node_process import ForkedNode
from node_studies import IMAGES, study_uid, write_studies
from pydicom.uid import MammographyCADSRStorage

from medmask.node.study_status import ANSWERED, read_status

OBJECTS = 2 + 2 * IMAGES
"""two reports of a study, and a presentation state and a picture of each of its images"""


class PersistentSender(threading.Thread):
    """A client that sends every image until it is acknowledged, and then no more.

    Attributes:
        acknowledged: identifiers of images by study.
        tries: how often it sent.
    """

    def __init__(self, port: int, studies: list[Path], pause: float) -> None:
        super().__init__(daemon=True)
        self.acknowledged: dict[str, set[str]] = defaultdict(set)
        self.tries = 0
        self._port, self._studies, self._pause = port, studies, pause

    def run(self) -> None:
        for study in self._studies:
            for path in sorted(study.glob("*.dcm")):
                self._send(pydicom.dcmread(path))
            time.sleep(self._pause)

    def _send(self, dataset: pydicom.Dataset) -> None:
        statuses: list[int | None] = []
        while statuses != [0]:
            self.tries += 1
            try:
                statuses = Client(self._port).send([dataset])
            except (AssertionError, OSError):  # no connection
                time.sleep(0.02)
        self.acknowledged[str(dataset.StudyInstanceUID)].add(str(dataset.SOPInstanceUID))

    def count(self) -> int:
        """How many images were acknowledged."""
        return sum(len(uids) for uids in list(self.acknowledged.values()))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("kills", "count"),
    [(5, 8), pytest.param(200, 160, marks=pytest.mark.slow)],
    ids=["5-kills", "200-kills"],
)
def test_every_acknowledged_study_is_answered_once(tmp_path, kills, count):
    moments = random.Random(kills)
    studies = write_studies(tmp_path, count)
    with RecordingDestination() as destination:
        node = ForkedNode(tmp_path, destination.port)
        sender = PersistentSender(node.port, studies, pause=kills * 0.2 / count)

        def progress() -> int:
            return sender.count() + sum(destination.times.values())

        with node:
            node.start()
            sender.start()
            killed = 0
            while killed < kills and len(destination.objects) < OBJECTS * count:
                goal = progress() + moments.randint(0, 9)
                wait_until(
                    lambda goal=goal: progress() >= goal or _all_came(destination, count), 600
                )
                time.sleep(moments.uniform(0.0, 0.3))
                node.kill()
                killed += 1
                node.start()
            wait_until(lambda: not sender.is_alive(), 600)
            wait_until(lambda: _all_came(destination, count), 600)
            wait_until(lambda: set(_states(node.spool).values()) == {ANSWERED}, 600)
            time.sleep(2.0)  # longer than the quiet time, should anything come again

    assert killed >= kills // 2
    assert sender.acknowledged.keys() == {study_uid(study) for study in studies}
    assert _states(node.spool).keys() == sender.acknowledged.keys()
    partial = 0
    for uid, kinds in destination.kinds().items():
        images = sender.acknowledged[uid]
        assert (kinds["presentation"], kinds["capture"]) == (len(images), len(images))
        reports = [_images_of(x) for x in destination.objects.values() if _is_report_of(x, uid)]
        assert reports.count(images) == 1
        assert all(report <= images for report in reports)
        partial += len(reports) - 1  # of a study whose second image came late, after a kill
    repeated = sum(destination.times.values()) - len(destination.objects)
    assert repeated <= killed  # one object at most is on its way when the node is killed
    assert not destination.changed, "an object came again with other content"
    assert "Traceback" not in node.log(), node.log()
    print(
        f"{killed} kills, {count} studies, {sender.tries} tries to send {sender.count()} images, "
        f"{len(destination.objects)} objects arrived, {repeated} of them again, {partial} reports "
        "on the first image alone before the whole"
    )


def _all_came(destination: RecordingDestination, count: int) -> bool:
    return len(destination.objects) >= OBJECTS * count


def _states(spool: Path) -> dict[str, str]:
    return {
        path.parent.name: read_status(path).state for path in spool.glob("studies/*/status.json")
    }


def _is_report_of(dataset: pydicom.Dataset, study: str) -> bool:
    return dataset.SOPClassUID == MammographyCADSRStorage and dataset.StudyInstanceUID == study


def _images_of(report: pydicom.Dataset) -> set[str]:
    return {
        str(item.ReferencedSOPInstanceUID)
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
