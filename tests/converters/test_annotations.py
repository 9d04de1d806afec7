"""Which images are neither positive nor negative, and what their records say of lesions."""

from pathlib import Path

import pytest

from medmask.converters.annotations import ConvertedImage, find_unknown, make_document
from medmask.converters.contract import Lesion, MarkedLesions, SourceImage
from medmask.converters.image_files import WrittenImage
from medmask.converters.regions import Region

BOX = (1, 2, 3, 4)
ALL, MALIGNANT, UNTOLD, NONE = MarkedLesions


def image_of(malignant: bool | None, *lesions: bool | None, lesion=None) -> ConvertedImage:
    marked = tuple(Lesion(box=BOX, malignant=each) for each in lesions)
    source = SourceImage(Path("a.png"), "a", malignant=malignant, lesion=lesion, lesions=marked)
    regions = ((Region(BOX),),) * len(marked)
    return ConvertedImage(1, source, WrittenImage("a", "a.png", regions=regions))


@pytest.mark.parametrize(
    ("image", "malignant", "lesion"),
    [
        (image_of(True, True), None, None),
        (image_of(False), None, None),
        (image_of(False, False), None, None),
        (image_of(None, False), None, None),
        (image_of(None), "not told whether it shows", "not told whether it shows"),
        (image_of(True), "no lesion is marked", "no lesion is marked"),
        (image_of(True, False), "no malignant lesion is marked", None),
        (image_of(True, None), "not told whether its lesion", None),
        (image_of(False, lesion=True), None, "shows a lesion, but none"),
        (image_of(None, lesion=True), "shows a lesion, but none", "shows a lesion, but none"),
    ],
    ids=range(10),
)
def test_unknown_images(image, malignant, lesion):
    for label, reason in (("malignant", malignant), ("lesion", lesion)):
        for marked in (ALL, MALIGNANT, UNTOLD):
            unknown = find_unknown([image], label, marked)
            if reason is None or (marked is UNTOLD and reason == "not told whether it shows"):
                assert not unknown
            else:
                assert reason in unknown["a"].reason
        assert not find_unknown([image], label, NONE)


@pytest.mark.parametrize(
    ("image", "complete", "others"),
    [
        (image_of(True, True), True, True),
        (image_of(False, False), True, True),
        (image_of(None, None), True, True),
        (image_of(True), True, True),
        (image_of(False), False, None),
        (image_of(None), None, None),
        (image_of(False, lesion=True), True, True),
        (image_of(False, lesion=False), False, False),
        (image_of(True, lesion=False), True, True),
    ],
    ids=range(9),
)
def test_record_tells_if_the_image_shows_a_lesion(image, complete, others):
    """Where not all lesions are marked, a benign one may still be there."""
    for marked in MarkedLesions:
        document = make_document([image], "malignant", "", marked)
        assert document["images"][0].get("lesion") is (complete if marked is ALL else others)
