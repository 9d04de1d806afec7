"""Images that results are not written for."""

from dataclasses import replace

import pytest
from PIL import Image

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from medmask.dicom_results import write_results
from medmask.dicom_results.options import ResultOptions
from medmask.dicom_results.predictions import Finding, ScoredImage


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"StudyInstanceUID": None}, "Study Instance UID (0020,000D) is missing"),
        ({"SOPInstanceUID": ""}, "SOP Instance UID (0008,0018) is missing or empty"),
        ({"StudyInstanceUID": "../../1.2"}, "Study Instance UID (0020,000D) must be numbers"),
        ({"SOPInstanceUID": "/1.2"}, "SOP Instance UID (0008,0018) must be numbers and dots"),
        ({"SeriesInstanceUID": "1" * 65}, "Series Instance UID (0020,000E) must be numbers"),
        ({"PatientSex": "Q"}, "Patient's Sex (0010,0040) must be"),
        ({"ImageLaterality": "X"}, "Image Laterality (0020,0062) must be"),
        ({"StudyDate": "2020-1-1"}, "Study Date (0008,0020) must be empty or a date (YYYYMMDD)"),
        ({"StudyTime": "10:11:12"}, "Study Time (0008,0030) must be empty or a time (HHMMSS)"),
        ({"PatientBirthDate": "19991332"}, "Patient's Birth Date (0010,0030) must be empty or a"),
        ({"PatientName": "A\\B"}, "Patient's Name (0010,0010) must be one name"),
        ({"NumberOfFrames": 3}, "holds several frames"),
        ({"Rows": 60}, "lies outside of image"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_refusals(predictions, phantom_studies, header_of, tmp_path, elements, words):
    path = header_of(phantom_studies[0], **elements)
    good = predictions.images[1]
    faulty = ScoredImage(path, (Finding((1, 2, 30, 100), 0.9, "mass"),))
    summary = write_results(
        replace(predictions, images=(faulty, good)), tmp_path / "out", ResultOptions()
    )
    (problem,) = summary.problems
    assert words in problem
    assert str(path) in problem
    assert summary.studies == 1
    assert summary.written == 4


def test_other_files_are_refused(predictions, tmp_path):
    path = tmp_path / "image.png"
    Image.new("L", (8, 8)).save(path)
    images = (ScoredImage(path, ()), ScoredImage(tmp_path / "absent.dcm", ()))
    summary = write_results(replace(predictions, images=images), tmp_path / "out")
    assert "is not DICOM" in summary.problems[0]
    assert "does not exist any more" in summary.problems[1]
    assert summary.studies == summary.written == 0
