"""The round trip as a user runs it: with a real Orthanc, and with an archive in this process."""

import io
import json

import isolation
import numpy as np
import pydicom
import pytest
from archive_fixtures import PASSWORD, USER
from fresh_runs import write_fresh_run

from medmask.dicomweb.client import DicomwebClient, InstanceName
from medmask.dicomweb.connection import Connection
from medmask.dicomweb.credentials import Credentials
from medmask.dicomweb.study_filter import StudyFilter

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from highdicom import sr
from pydicom.sr.codedict import codes

OBJECTS_OF_TWO_STUDIES = 2 * (2 + 2 * 4)
SMALL = ("model.transformer.num_encoder_layers=1", "model.transformer.num_decoder_layers=1")
OF_READER = {"MEDMASK_PACS_USER": USER, "MEDMASK_PACS_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Fresh weights, whose boxes are anywhere."""
    return write_fresh_run(tmp_path_factory.mktemp("run"), overrides=SMALL)


@pytest.fixture
def options(checkpoint, tmp_path):
    return (
        *("--checkpoint", checkpoint, "--device", "cpu", "--output", tmp_path / "out"),
        *("--score-threshold", "0"),
    )


def boxes_of(report):
    """(image, corners, score) of each finding of a report."""
    for group in report.content.get_planar_roi_measurement_groups():
        points = group.roi.value
        source = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
        (score,) = group.get_measurements(codes.DCM.CertaintyOfFinding)
        corners = (*points.min(axis=0), *points.max(axis=0))
        yield str(source.ReferencedSOPInstanceUID), corners, score.value / 100


def faulty_copy(path, folder, uid, **elements):
    """A further image of a study, with something wrong; an element that is None is removed."""
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(folder / f"{uid}.dcm")
    return folder / f"{uid}.dcm"


def test_orthanc(orthanc, dated_studies, options, tmp_path):
    """Two studies, in each of which is something to be left out."""
    client = DicomwebClient(Connection(orthanc, Credentials(USER, PASSWORD)))
    first, second = dated_studies[0], dated_studies[-1]
    faulty = [
        faulty_copy(first, tmp_path, "1.2.3.1", PixelData=b"\0" * 1000),
        faulty_copy(first, tmp_path, "1.2.3.2", PixelData=None),
        faulty_copy(second, tmp_path, "1.2.3.3", Modality="CT"),
        faulty_copy(second, tmp_path, "1.2.3.4", PatientSex="SECRET"),
    ]
    for path in [*dated_studies, *faulty]:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        client.store(header.StudyInstanceUID, header.SOPInstanceUID, path.read_bytes())
    arguments = ("--url", orthanc, "--study-date", "20260101-20260131", *options, "--store")
    done = isolation.run_tool("pacs.py", *arguments, environment=OF_READER, seconds=600)
    assert done.status == 1, done.describe()
    assert (  # the last of the faulty ones is scored, but its header is not one for results
        f"2 studies: 2 stored (0 done before); 9 images scored, {OBJECTS_OF_TWO_STUDIES} objects"
        in done.output
    )
    errors = [line for line in done.errors.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(faulty)
    for path in faulty:
        assert sum(path.stem in error for error in errors) == 1, errors
    assert "SECRET" not in done.output + done.errors
    again = isolation.run_tool("pacs.py", *arguments, environment=OF_READER, seconds=600)
    assert "2 studies: 2 stored (2 done before)" in again.output, again.describe()

    found, images = [], {str(pydicom.dcmread(path).SOPInstanceUID) for path in dated_studies}
    studies = client.find_studies(StudyFilter(study_date="20260101-20260102")).matches
    assert len(studies) == 2
    detections = []
    for study in studies:
        folder = tmp_path / "out" / "studies" / study
        detections += json.loads((folder / "predictions" / "detections.json").read_text())
        (path,) = folder.rglob("measurement_report.dcm")
        ours = pydicom.dcmread(path)
        series, instance = str(ours.SeriesInstanceUID), str(ours.SOPInstanceUID)
        stored = client.retrieve(InstanceName(study, series, instance))
        found += boxes_of(sr.srread(io.BytesIO(stored)))
    expected = sorted(
        (x["file_name"].removesuffix(".dcm"), *_corners(x["bbox"]), x["score"])
        for x in detections
        if x["file_name"].removesuffix(".dcm") in images
    )
    assert expected
    found = sorted((image, *corners, score) for image, corners, score in found)
    assert [row[0] for row in found] == [row[0] for row in expected]
    values = [np.array([row[1:] for row in rows]) for rows in (found, expected)]
    assert np.allclose(*values, atol=1e-3)


def _corners(bbox):
    x, y, width, height = bbox
    return x, y, x + width, y + height


def test_archive_of_this_process(run_tool, archive, dated_studies, options, tmp_path):
    archive.add_files(dated_studies)
    archive.authorization = "Bearer a-token"
    file = tmp_path / "credentials.json"
    file.write_text('{"token": "a-token"}')
    file.chmod(0o600)
    arguments = ("--url", archive.url, "--patient-id", "film*", *options, "--objects", "report")
    done = run_tool("pacs.py", *arguments, "--credentials", file, "--store")
    assert done.returncode == 0, done.stderr
    assert "2 studies: 2 stored (0 done before); 8 images scored, 2 objects" in done.stdout
    assert len(archive.of_modality("SR")) == 2
    assert "a-token" not in done.stdout + done.stderr
    assert "film" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give the dates of the studies"),
        (("--study-date", "20260230"), "20260230 is no day of a calendar"),
        (("--study-date", "2026"), "neither YYYYMMDD nor a range"),
        (("--study-uid", "../x"), "is not a Study Instance UID"),
        (("--study-uid", "1.2", "--timeout", "0"), "timeout must be above 0"),
        (("--study-uid", "1.2", "--retries", "-1"), "retries must be at least 0"),
        (("--study-uid", "1.2", "--max-object-size", "0"), "must have a byte at least"),
        (("--study-uid", "1.2", "--ca-file", "none.pem"), "none.pem does not exist"),
        (("--study-uid", "1.2", "--credentials", "none.json"), "none.json cannot be read"),
        (("--study-uid", "1.2", "--checkpoint", "none.pth"), "none.pth does not exist"),
        (("--study-uid", "1.2", "--url", "ftp://host"), "is not the root of a DICOMweb service"),
        (("--study-uid", "1.2", "--url", "https://u:SECRET@host"), "holds credentials"),
        (("--study-uid", "1.2", "--url", "http://127.0.0.1:9/x", "--retries", "0"), "refused"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_refusals(run_tool, options, arguments, words):
    url = ("--url", "https://127.0.0.1:9/dicom-web")
    done = run_tool("pacs.py", *url, *options, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert "SECRET" not in done.stderr
