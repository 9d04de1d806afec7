"""Presentation states show images by their own window, however the header tells it."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_phantoms import lookup_table

pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from medmask.dicom_results import write_results
from medmask.dicom_results.options import ResultOptions
from medmask.dicom_results.predictions import ScoredImage
from medmask.images.dicom.elements import Elements
from medmask.images.dicom.lookup import read_modality_transform, read_voi_transform

STORED = np.arange(4096.0)
WINDOW = {"WindowCenter": 1500, "WindowWidth": 2000}


@pytest.fixture
def state_of(phantom_studies, predictions, header_of, tmp_path):
    """Writes the presentation state of an image with some elements; returns both."""

    def make(elements):
        path = header_of(phantom_studies[0], **elements)
        one = replace(predictions, images=(ScoredImage(path, ()),))
        summary = write_results(one, tmp_path / "out", ResultOptions(objects=("presentation",)))
        assert not summary.problems
        (written,) = (tmp_path / "out").rglob("*.dcm")
        return Elements(written, pydicom.dcmread(written)), Elements(path, pydicom.dcmread(path))

    return make


@pytest.mark.parametrize(
    "elements",
    [
        WINDOW,
        WINDOW | {"VOILUTFunction": "SIGMOID"},
        WINDOW | {"VOILUTFunction": "", "WindowCenterWidthExplanation": ""},
        WINDOW | {"WindowCenter": [1500, 900], "WindowWidth": [2000, 300]},
        WINDOW | {"WindowCenter": [1500, 900]},
        WINDOW | {"VOILUTSequence": []},
        WINDOW | {"VOILUTSequence": lookup_table(12)},
        {"VOILUTSequence": lookup_table(10)},
        {"VOILUTSequence": lookup_table(16, first=-50)},
        {"ModalityLUTSequence": lookup_table(12)} | WINDOW,
        {"RescaleSlope": 2, "RescaleIntercept": -7} | WINDOW,
        {"RescaleSlope": 2} | WINDOW,
    ],
    ids=[
        "window", "sigmoid", "empty function", "several", "unequal", "no table", "table and window",
        "table", "table from below 0", "modality table", "rescale", "slope alone",
    ],
)  # fmt: skip
def test_window_is_that_of_the_image(state_of, elements):
    state, image = state_of(elements)
    modality, expected = (read_modality_transform([x], signed=False) for x in (state, image))
    assert (modality(STORED) == expected(STORED)).all()
    (window,) = state.items("SoftcopyVOILUTSequence")
    voi, expected = (read_voi_transform([x], signed=True) for x in (window, image))
    shown, wanted = voi(STORED), expected(STORED)
    if tables := elements.get("VOILUTSequence"):
        shown, wanted = shown / (2**16 - 1), wanted / (2 ** tables[0].LUTDescriptor[2] - 1)
    assert shown == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    "elements",
    [{}, {"WindowCenter": 1500}, {"WindowCenter": "", "WindowWidth": ""}, {"VOILUTSequence": []}],
    ids=["none", "half a window", "empty window", "empty sequence"],
)
def test_image_without_a_window_gets_none(state_of, elements):
    state, _ = state_of(elements)
    assert not state.has("SoftcopyVOILUTSequence")
    assert not state.has("RescaleSlope")


def test_table_of_12_bits_has_the_whole_range_of_16(state_of):
    state, _ = state_of({"VOILUTSequence": lookup_table(12)})
    (item,) = state.items("SoftcopyVOILUTSequence")[0].items("VOILUTSequence")
    assert item.integers("LUTDescriptor") == [3000, 100, 16]
    assert np.frombuffer(item.value("LUTData"), "<u2").max() == 2**16 - 1
    assert item.text("LUTExplanation") == "bend"


def test_several_windows_are_kept_with_their_names(state_of):
    windows = {"WindowCenter": [1500, 900], "WindowWidth": [2000, 300]}
    state, _ = state_of(windows | {"WindowCenterWidthExplanation": ["usual", "dense"]})
    (item,) = state.items("SoftcopyVOILUTSequence")
    assert item.integers("WindowCenter") == [1500, 900]
    assert list(item.value("WindowCenterWidthExplanation")) == ["usual", "dense"]
