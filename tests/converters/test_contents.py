"""What a set tells of its images, put in order for the engine."""

import logging

import numpy as np
import pytest

from medmask.converters.contents import read_contents
from medmask.converters.contract import Contents, Converter, Lesion, MarkedLesions, SourceImage

BOX = (1.0, 2.0, 30.0, 40.0)


def read(tmp_path, *lesions):
    image = SourceImage(tmp_path / "a.png", "a", lesions=lesions)
    converter = Converter("a", "A", lambda raw: Contents([image]), MarkedLesions.ALL)
    return read_contents(converter, tmp_path, complete=False).images[0].lesions


def outlined(*points):
    return Lesion(outlines=(np.array(points, float),), malignant=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Lesion(box=BOX, malignant=True, attributes={"types": ["Mass"]}),
        lambda: outlined((1, 2), (3, 4), (5, 0)),
    ],
    ids=["box", "outline"],
)
def test_a_lesion_that_is_told_twice_is_taken_once(tmp_path, caplog, make):
    assert len(read(tmp_path, make(), Lesion(box=(0, 0, 5, 5)), make())) == 2
    assert "1 image of" in caplog.text
    assert "the first is a" in caplog.text


def test_lesions_of_which_anything_differs_stay(tmp_path, caplog):
    lesions = (
        Lesion(box=BOX, malignant=True, attributes={"types": ["Mass"]}),
        Lesion(box=BOX, malignant=True, attributes={"types": ["Asymmetry"]}),
        Lesion(box=BOX, malignant=False, attributes={"types": ["Mass"]}),
        outlined((1, 2), (3, 4), (5, 0)),
        outlined((1, 2), (3, 4), (5, 1)),
    )
    with caplog.at_level(logging.WARNING):
        assert read(tmp_path, *lesions) == lesions
    assert caplog.text == ""
