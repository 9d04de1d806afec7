"""Studies come, results go, whatever single objects and the destination do."""

import errno
import json

import pydicom
import pytest
from pydicom.uid import MammographyCADSRStorage
from toy_image_detector import ForgetfulDetector

pytest.importorskip("pynetdicom", reason="a DICOM node needs the extra node")
pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")


def test_one_study_is_received_scored_and_answered(
    start_node, client, destination, phantoms, tmp_path
):
    node = start_node()
    assert client(node).echo() == 0
    study = phantoms[:4]
    assert client(node).send(study) == [0, 0, 0, 0]
    destination.wait_for(10)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in study]
    (uid,) = {str(header.StudyInstanceUID) for header in headers}
    assert destination.kinds() == {uid: {"report": 1, "cad": 1, "presentation": 4, "capture": 4}}
    assert set(destination.times.values()) == {1}
    (cad,) = (x for x in destination.objects.values() if x.SOPClassUID == MammographyCADSRStorage)
    references = {
        str(item.ReferencedSOPInstanceUID)
        for series in cad.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert references == {str(header.SOPInstanceUID) for header in headers}
    status = json.loads((tmp_path / "spool" / "studies" / uid / "status.json").read_text())
    assert status["state"] == "answered"
    assert sorted(status["sent"]) == sorted(destination.objects)


def test_no_patient_data_in_the_log_on_the_whole_way(
    start_node, client, destination, phantoms, caplog, capfd, recwarn
):
    """Also of an image that is scored, but whose header results cannot take."""
    caplog.set_level("INFO")
    first, second = map(pydicom.dcmread, phantoms[:2])
    for dataset in (first, second):
        dataset.PatientName = "Confidential^Name"
        dataset.PatientID = "Confidential^ID" * 6  # too long: pydicom warns, and quotes it
        dataset.PatientBirthDate = "19011213"
    second.PatientSex = "CONFIDENTIAL"
    assert client(start_node()).send([first, second]) == [0, 0]
    destination.wait_for(4)
    for dataset in destination.objects.values():
        assert dataset.PatientName == first.PatientName
    assert f"image {second.SOPInstanceUID}" in caplog.text
    output = capfd.readouterr()
    for text in (caplog.text, output.out, output.err, *(str(x.message) for x in recwarn)):
        assert "confidential" not in text.lower()
        assert "19011213" not in text


def test_old_studies_that_cannot_be_removed_stop_nothing(
    start_node, client, destination, phantoms, monkeypatch, caplog
):
    def fail(spool, before):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("medmask.node.spool.Spool.remove_answered", fail)
    client(start_node(keep_days=1)).send(phantoms[:1])
    destination.wait_for(4)
    assert "old studies cannot be removed (No space left on device)" in caplog.text


def test_failure_of_the_model_that_passes_is_tried_again(
    start_node, client, destination, phantoms, tmp_path, caplog
):
    client(start_node(detector=ForgetfulDetector(fails={1, 2, 3}))).send(phantoms[:2])
    destination.wait_for(6)  # nothing is sent after the first attempt
    assert "has images that are to be tried again" in caplog.text
    (path,) = (tmp_path / "spool" / "studies").glob("*/status.json")
    status = json.loads(path.read_text())
    assert (status["attempts"], len(status["images"]), status["problems"]) == (0, 2, [])
