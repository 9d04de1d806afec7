"""Fetched files that are not the mammograms that were asked for."""

import pydicom
import pytest

from medmask.pacs.fetching import find_wrong_image


@pytest.fixture
def fetch(dated_studies, tmp_path):
    """Writes an image under its name, with elements changed; returns the path and the study."""

    def write(**elements):
        dataset = pydicom.dcmread(dated_studies[0])
        path, study = tmp_path / f"{dataset.SOPInstanceUID}.dcm", str(dataset.StudyInstanceUID)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
        return path, study

    return write


def test_right_image_stays(fetch):
    path, study = fetch()
    assert find_wrong_image(path, study) is None
    assert path.exists()


@pytest.mark.parametrize(
    ("elements", "what"),
    [
        ({"Modality": "CT"}, "no mammogram (Modality MG)"),
        ({"Modality": ""}, "no mammogram (Modality MG)"),
        ({"StudyInstanceUID": "1.2.3"}, "another object"),
        ({"SOPInstanceUID": "1.2.3"}, "another object"),
    ],
    ids=["modality", "no modality", "study", "object"],
)
def test_others_are_told_in_a_sentence_and_removed(fetch, elements, what):
    path, study = fetch(**elements)
    sentence = f"image {path.stem} of study {study} is left out: what the archive gives is {what}"
    assert find_wrong_image(path, study) == sentence
    assert not path.exists()
