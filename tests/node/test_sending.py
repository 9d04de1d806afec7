"""Results get to their destination, whatever it does, and no more often than they must."""

import json

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="a DICOM node needs the extra node")
pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from dicom_peers import RecordingDestination, wait_until
from pydicom.uid import MammographyCADSRStorage
from toy_image_detector import CenterDetector

from medmask.node import Destination, NodeOptions
from medmask.node.received_object import ObjectIdentity
from medmask.node.scoring import score_study
from medmask.node.sending import Sender, retry_delay
from medmask.node.spool import Spool
from medmask.node.study_status import ANSWERED


def status_of(folder):
    (path,) = folder.glob("spool/studies/*/status.json")
    return json.loads(path.read_text())


def test_destination_that_is_away_for_a_while(start_node, client, phantoms, tmp_path, caplog):
    with RecordingDestination() as first:
        port = first.port
    node = start_node(destination=Destination("PACS", "127.0.0.1", port), retry_seconds=0.1)
    client(node).send(phantoms[:4])
    wait_until(lambda: caplog.text.count("(no connection): again in") >= 2)
    assert "again in 0.1 seconds" in caplog.text
    assert "again in 0.2 seconds" in caplog.text
    assert status_of(tmp_path)["state"] == "sending"
    with RecordingDestination(port) as destination:
        destination.wait_for(10)
        assert set(destination.times.values()) == {1}
        wait_until(lambda: status_of(tmp_path)["state"] == "answered")


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 5.0), (3, 20.0), (8, 600.0), (100_000, 600.0)]
)
def test_waits_grow_to_their_limit_however_long_a_destination_is_away(failures, seconds):
    options = NodeOptions(Destination("PACS", "127.0.0.1", 104))
    assert retry_delay(failures, options) == seconds


def test_destination_that_rejects_the_title(start_node, client, phantoms, destination, caplog):
    node = start_node(destination=Destination("OTHER", "127.0.0.1", destination.port))
    client(node).send(phantoms[:1])
    wait_until(lambda: "(it rejects this AE title): again in" in caplog.text)
    assert not destination.objects


def test_destination_without_room_is_asked_again(start_node, client, phantoms, destination, caplog):
    asked = []

    def answer(dataset):
        asked.append(dataset.SOPInstanceUID)
        return 0xA700 if len(asked) in (2, 3) else 0

    destination.answer = answer
    client(start_node()).send(phantoms[:1])
    destination.wait_for(4)
    assert set(destination.times.values()) == {1}
    assert len(asked) == 6
    assert caplog.text.count("(it is out of resources): again in") == 2


def test_report_that_is_replaced_while_its_study_is_sent_is_sent_once(
    phantoms, destination, tmp_path
):
    options = NodeOptions(Destination("PACS", "127.0.0.1", destination.port))
    spool = Spool(tmp_path)

    def score(*paths):
        for path in paths:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            uids = ObjectIdentity(str(header.StudyInstanceUID), str(header.SOPInstanceUID))
            spool.store(uids, b"", memoryview(path.read_bytes()))
        study = spool.study(uids.study_uid)
        assert score_study(study, CenterDetector(), options)
        return study

    def answer(dataset):
        if dataset.SOPClassUID == MammographyCADSRStorage and len(study.images()) == 1:
            sender.add(score(phantoms[1]).uid)
        return 0

    study, sender = score(phantoms[0]), Sender(spool, options)
    destination.answer = answer
    with sender.running():
        sender.add(study.uid)
        wait_until(lambda: study.status().state == ANSWERED)
    assert set(destination.times.values()) == {1}
    assert set(study.status().sent) == set(destination.times)


def test_refusals_are_final_until_the_next_start(
    start_node, client, phantoms, destination, tmp_path, caplog
):
    destination.answer = lambda x: 0xC000 if x.SOPClassUID == MammographyCADSRStorage else 0
    node = start_node()
    client(node).send(phantoms[:1])
    wait_until(lambda: status_of(tmp_path)["state"] == "answered")
    assert len(destination.objects) == 3
    assert list(status_of(tmp_path)["refused"].values()) == ["status C000"]
    assert "refuses an object of study" in caplog.text

    node.stop()
    destination.answer = lambda x: 0
    wait_until(lambda: not node.is_listening.is_set())
    start_node()
    destination.wait_for(4)
    wait_until(lambda: status_of(tmp_path)["state"] == "answered")
    assert not status_of(tmp_path)["refused"]
    assert set(destination.times.values()) == {1}


def test_class_that_the_destination_does_not_take(start_node, client, phantoms, tmp_path):
    with RecordingDestination(without=[MammographyCADSRStorage]) as destination:
        node = start_node(destination=Destination("PACS", "127.0.0.1", destination.port))
        client(node).send(phantoms[:1])
        wait_until(lambda: status_of(tmp_path)["state"] == "answered")
        assert len(destination.objects) == 3
    (reason,) = status_of(tmp_path)["refused"].values()
    assert reason == "the class Mammography CAD SR Storage is not taken"


def test_warnings_count_as_taken(start_node, client, phantoms, destination, tmp_path):
    destination.answer = lambda x: 0xB000
    client(start_node()).send(phantoms[:1])
    wait_until(lambda: status_of(tmp_path)["state"] == "answered")
    assert len(status_of(tmp_path)["sent"]) == 4
