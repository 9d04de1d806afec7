"""Elements of an image's header that results repeat."""

from dataclasses import replace

import pydicom
import pytest

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from medmask.dicom_results import write_results
from medmask.dicom_results.options import ResultOptions
from medmask.dicom_results.predictions import ScoredImage


@pytest.mark.parametrize("keyword", ["ImageLaterality", "Laterality"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_side_in_small_letters(predictions, phantom_studies, header_of, tmp_path, keyword):
    absent = {} if keyword == "ImageLaterality" else {"ImageLaterality": None}
    path = header_of(phantom_studies[0], **absent, **{keyword: "r"})
    one = replace(predictions, images=(ScoredImage(path, ()),))
    summary = write_results(one, tmp_path / "out", ResultOptions(objects=("cad", "capture")))
    assert not summary.problems
    (capture,) = (tmp_path / "out").rglob("secondary_capture_*.dcm")
    assert pydicom.dcmread(capture).Laterality == "R"
    (report,) = (tmp_path / "out").rglob("cad_report.dcm")
    assert "Right breast" in str(pydicom.dcmread(report))


@pytest.mark.parametrize("stated", [None, "NO", "YES"])
def test_picture_says_no_more_of_burned_in_text_than_its_image(
    predictions, phantom_studies, header_of, tmp_path, stated
):
    path = header_of(phantom_studies[0], BurnedInAnnotation=stated)
    one = replace(predictions, images=(ScoredImage(path, ()),))
    write_results(one, tmp_path / "out", ResultOptions(objects=("capture",)))
    (capture,) = (tmp_path / "out").rglob("*.dcm")
    assert pydicom.dcmread(capture).get("BurnedInAnnotation") == stated
