"""Names of patients and of classes that ASCII has not, in the objects as in the images."""

from dataclasses import replace

import pydicom
import pytest

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from highdicom import sr

from medmask.dicom_results import write_results
from medmask.dicom_results.predictions import Finding, ScoredImage


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (None, "Muller^A"),
        ("", "Muller^A"),
        ("ISO_IR 100", "Müller^Ä"),
        ("ISO_IR 144", "Люкceмбypг"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
    ],
    ids=["none", "empty", "latin", "cyrillic", "japanese", "unicode"],
)
@pytest.mark.parametrize("category", ["mass", "Läsion 病"], ids=["ascii", "beyond"])
def test_names_are_as_they_were(
    predictions, phantom_studies, header_of, tmp_path, character_set, name, category
):
    elements = {"PatientName": name, "StudyDescription": name.split("=")[-1]}
    if character_set is not None:
        elements |= {"SpecificCharacterSet": character_set}
    path = header_of(phantom_studies[0], **elements)
    images = (ScoredImage(path, (Finding((1, 2, 30, 40), 0.9, category),)),)
    summary = write_results(
        replace(predictions, images=images, categories=(category,)), tmp_path / "out"
    )
    assert (summary.written, summary.problems) == (4, ())
    for written in (tmp_path / "out").rglob("*.dcm"):
        assert pydicom.dcmread(written).PatientName == name
    (report,) = (tmp_path / "out").rglob("measurement_report.dcm")
    (group,) = sr.srread(report).content.get_planar_roi_measurement_groups()
    assert group.tracking_identifier == f"{category} 1"
    assert pydicom.dcmread(report).StudyDescription == name.split("=")[-1]
