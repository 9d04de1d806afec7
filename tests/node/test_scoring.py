"""From stored images to results: attempts, late images, faults of the disk."""

import errno
from dataclasses import replace

import pydicom
import pytest

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from calibrations import logistic_calibration
from highdicom import sr
from pydicom.sr.codedict import codes
from toy_image_detector import CenterDetector, ForgetfulDetector

from medmask.node import Destination, NodeOptions
from medmask.node.received_object import ObjectIdentity
from medmask.node.scoring import MOST_ATTEMPTS, score_study
from medmask.node.spool import Spool
from medmask.node.study_status import FAILED, SCORING, SENDING

OPTIONS = NodeOptions(Destination("PACS", "127.0.0.1", 104))


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "spool")


def store(spool, *paths):
    for path in paths:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        identity = ObjectIdentity(str(header.StudyInstanceUID), str(header.SOPInstanceUID))
        spool.store(identity, b"", memoryview(path.read_bytes()))
    return spool.study(identity.study_uid)


def test_late_images_get_results_of_their_own_and_new_reports(spool, phantoms):
    detector = CenterDetector()
    study = store(spool, *phantoms[:2])
    assert score_study(study, detector, OPTIONS)
    first = {path.name: path.read_bytes() for path in study.result_files()}
    assert len(first) == 2 + 2 * 2
    assert study.status().state == SENDING
    store(spool, phantoms[2])
    assert score_study(study, detector, OPTIONS)
    second = {path.name: path.read_bytes() for path in study.result_files()}
    assert len(second) == 2 + 2 * 3
    changed = {name for name in first if second[name] != first[name]}
    assert changed == {"measurement_report.dcm", "cad_report.dcm"}
    assert sum(detector.batches) == 3  # no image is scored twice


def test_spool_may_be_moved_and_a_record_damaged(spool, phantoms, tmp_path):
    detector = CenterDetector()
    study = store(spool, phantoms[0])
    assert score_study(study, detector, OPTIONS)
    first = {path.name: path.read_bytes() for path in study.result_files()}
    spool.folder.rename(tmp_path / "moved")
    study = store(Spool(tmp_path / "moved"), phantoms[1])
    assert score_study(study, detector, OPTIONS)
    assert (study.status().state, study.status().problems) == (SENDING, [])
    second = {path.name: path.read_bytes() for path in study.result_files()}
    assert len(second) == 2 + 2 * 2
    assert {name for name in first if second[name] != first[name]} == {
        "measurement_report.dcm",
        "cad_report.dcm",
    }
    (journal,) = study.predictions.rglob("predictions.jsonl")
    journal.write_bytes(b"no record\n")
    assert score_study(study, detector, OPTIONS)
    assert {path.name: path.read_bytes() for path in study.result_files()} == second


def test_study_that_ends_the_node_again_and_again(spool, phantoms):
    class Deadly(CenterDetector):
        def detect(self, inputs):
            raise AssertionError("it must not be tried again")

    study = store(spool, *phantoms[:1])
    with study.change_status() as status:  # as a node leaves it that is killed
        status.state, status.attempts = SCORING, MOST_ATTEMPTS
    assert not score_study(study, Deadly(), OPTIONS)
    status = study.status()
    assert status.state == FAILED
    assert "the node ended, the model failed, or memory ran out, 5 times" in status.problems[0]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "no space")], ids=["signal", "full disk"]
)
def test_ends_that_are_not_the_fault_of_the_study(spool, phantoms, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    study = store(spool, *phantoms[:1])
    with monkeypatch.context() as patch:
        patch.setattr("medmask.node.scoring.predict_images", fail)
        for _ in range(MOST_ATTEMPTS + 1):
            with pytest.raises(type(error)):
                score_study(study, CenterDetector(), OPTIONS)
    assert study.status().state == SCORING
    assert score_study(study, CenterDetector(), OPTIONS)


def test_fault_of_the_detector_is_one_of_its_study(spool, phantoms, caplog):
    class Broken(CenterDetector):
        def detect(self, inputs):
            raise RuntimeError("Confidential^Name")

    study = store(spool, *phantoms[:1])
    for attempt in range(1, MOST_ATTEMPTS):
        assert not score_study(study, Broken(), OPTIONS)
        status = study.status()
        assert (status.state, status.attempts, status.images) == (SCORING, attempt, [])
        assert study.has_new_images()  # a node that is started again takes it up
    assert "is set aside" not in caplog.text
    assert "is left to be tried again" in caplog.text
    assert not score_study(study, Broken(), OPTIONS)
    status = study.status()
    assert (status.state, status.attempts, len(status.images)) == (FAILED, 0, 1)
    assert "the model failed on 1 image in the last of 5 attempts" in status.problems[-1]
    assert "is set aside" in caplog.text
    assert "Confidential" not in caplog.text


def test_failure_of_the_model_that_passes(spool, phantoms):
    """The others get their results at once, and all when it is tried again."""
    study = store(spool, *phantoms[:3])
    assert score_study(study, ForgetfulDetector(fails={2}), OPTIONS)
    status = study.status()
    assert (status.state, status.attempts, len(status.images)) == (SENDING, 1, 2)
    assert "CUDA out of memory" in status.problems[0]
    assert len(study.result_files()) == 2 + 2 * 2
    detector = CenterDetector()
    assert score_study(study, detector, OPTIONS)
    status = study.status()
    assert (status.state, status.attempts, len(status.images)) == (SENDING, 0, 3)
    assert status.problems == []
    assert len(study.result_files()) == 2 + 2 * 3
    assert detector.batches == [1]


@pytest.mark.parametrize("what", ["the results", "reading of the predictions"])
def test_memory_that_runs_out_for_the_results(spool, phantoms, monkeypatch, what):
    def fail(*args):
        raise MemoryError

    where = {
        "the results": "medmask.dicom_results.secondary_capture.secondary_capture",
        "reading of the predictions": "medmask.node.scoring.read_predictions",
    }[what]
    study, detector = store(spool, *phantoms[:2]), CenterDetector()
    with monkeypatch.context() as patch:
        patch.setattr(where, fail)
        for attempt in range(1, MOST_ATTEMPTS):
            assert not score_study(study, detector, OPTIONS)
            status = study.status()
            assert (status.state, status.attempts, status.images) == (SCORING, attempt, [])
    assert score_study(study, detector, OPTIONS)
    status = study.status()
    assert (status.state, status.attempts, len(status.images)) == (SENDING, 0, 2)
    assert status.problems == []
    assert sum(detector.batches) == 2  # no image is scored twice


def test_memory_that_runs_out_for_the_results_again_and_again(spool, phantoms, monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr("medmask.dicom_results.secondary_capture.secondary_capture", fail)
    study = store(spool, *phantoms[:2])
    for _ in range(MOST_ATTEMPTS):
        assert not score_study(study, CenterDetector(), OPTIONS)
    status = study.status()
    assert (status.state, status.attempts, len(status.images)) == (FAILED, 0, 2)
    assert "memory ran out while its results were written in the last" in status.problems[-1]


def test_log_names_the_image_that_is_set_aside(spool, phantoms, tmp_path, caplog):
    paths = []
    for place, uid in enumerate(("1.2.3.1", "1.2.3.10")):
        dataset = pydicom.dcmread(phantoms[place])
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        if uid == "1.2.3.10":
            dataset.BitsStored = 20
        paths.append(tmp_path / f"{uid}.dcm")
        dataset.save_as(paths[-1])
    assert score_study(store(spool, *paths), CenterDetector(), OPTIONS)
    assert "image 1.2.3.10 of study" in caplog.text
    assert "image 1.2.3.1 of study" not in caplog.text


def test_damaged_image_is_not_tried_again(spool, phantoms):
    study = store(spool, *phantoms[:2])
    path = next(iter(study.images().values()))
    path.write_bytes(path.read_bytes()[:-2000])
    assert score_study(study, CenterDetector(), OPTIONS)
    status = study.status()
    assert (status.state, status.attempts, len(status.images)) == (SENDING, 0, 2)
    assert len(status.problems) == 1


@pytest.mark.parametrize(("threshold", "count"), [(0.7, 1), (0.8, 0)])
def test_results_at_an_operating_point(spool, phantoms, threshold, count):
    study = store(spool, *phantoms[:1])
    calibration = logistic_calibration(slope=2.0, threshold=threshold)
    assert score_study(study, CenterDetector(), replace(OPTIONS, calibration=calibration))
    (path,) = (x for x in study.result_files() if x.name == "measurement_report.dcm")
    groups = sr.srread(path).content.get_planar_roi_measurement_groups()
    values = [x.get_measurements(codes.DCM.CertaintyOfFinding)[0].value for x in groups]
    assert values == pytest.approx([90.0] * count)  # of a score of 0.75


def test_new_calibration_makes_new_results(spool, phantoms):
    study, detector = store(spool, *phantoms[:1]), CenterDetector()
    assert score_study(study, detector, OPTIONS)
    before = {path: path.read_bytes() for path in study.result_files()}
    calibrated = replace(OPTIONS, calibration=logistic_calibration(threshold=0.7))
    assert score_study(study, detector, calibrated)
    assert all(path.read_bytes() != content for path, content in before.items())
