"""Round trips at an operating point."""

import io
from collections import Counter

import pytest
from calibrations import logistic_calibration
from spot_detector import SpotDetector

from medmask.dicom_results.options import ResultOptions
from medmask.dicomweb.client import DicomwebClient
from medmask.dicomweb.connection import Connection
from medmask.dicomweb.study_filter import StudyFilter
from medmask.errors import InputError
from medmask.pacs.options import RoundTripOptions
from medmask.pacs.round_trip import make_round_trip

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from highdicom import sr
from pydicom.sr.codedict import codes

THRESHOLD = 0.65


def make(archive, output, calibration):
    return make_round_trip(
        DicomwebClient(Connection(archive.url)),
        SpotDetector(),
        StudyFilter(study_date="20260101-20260131"),
        output,
        RoundTripOptions(ResultOptions(0.1, ("report",)), store=True, calibration=calibration),
        lambda line: None,
    )


def numbers_of_reports(archive):
    """(probability, score) of all findings in the archive, sorted."""
    found = []
    for stored in archive.of_modality("SR").values():
        content = sr.srread(io.BytesIO(stored.content)).content
        for group in content.get_planar_roi_measurement_groups():
            names = (codes.DCM.CertaintyOfFinding, codes.SCT.Score)
            probability, score = (group.get_measurements(name)[0].value for name in names)
            found.append((probability / 100, score))
    return sorted(found)


def test_reports_in_the_archive_have_probabilities(archive, dated_studies, tmp_path):
    archive.add_files(dated_studies)
    calibration = logistic_calibration(slope=0.5, threshold=THRESHOLD)
    summary = make(archive, tmp_path, calibration)
    assert (summary.statuses, summary.problems) == (Counter(stored=2), ())
    found = numbers_of_reports(archive)
    assert 0 < len(found) < len(dated_studies)  # some are below the threshold
    for probability, score in found:
        assert score >= THRESHOLD
        odds = (score / (1 - score)) ** 0.5
        assert probability == pytest.approx(odds / (1 + odds), rel=1e-9)
    with pytest.raises(InputError, match=r"score_threshold=0\.65, but now score_threshold=0\.1"):
        make(archive, tmp_path, None)
    other = logistic_calibration(slope=0.6, threshold=THRESHOLD, data_name="another set")
    with pytest.raises(InputError, match="written with calibration="):
        make(archive, tmp_path, other)
