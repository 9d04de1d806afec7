"""Which images are neither positive nor negative, and what their records say of lesions."""

from pathlib import Path

import pytest

from medmask.converters.annotations import ConvertedImage, find_unknown, make_document
from medmask.converters.contract import Lesion, SourceImage
from medmask.converters.image_files import WrittenImage
from medmask.converters.regions import Region

BOX = (1, 2, 3, 4)


def image_of(malignant: bool | None, *lesions: bool | None) -> ConvertedImage:
    marked = tuple(Lesion(box=BOX, malignant=lesion) for lesion in lesions)
    source = SourceImage(Path("a.png"), "a", malignant=malignant, lesions=marked)
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
    ],
    ids=range(8),
)
def test_unknown_images(image, malignant, lesion):
    for label, reason in (("malignant", malignant), ("lesion", lesion)):
        unknown = find_unknown([image], label, is_labeled=True)
        if reason is None:
            assert not unknown
        else:
            assert reason in unknown["a"].reason
        assert not find_unknown([image], label, is_labeled=False)


@pytest.mark.parametrize(
    ("image", "labeled", "unlabeled"),
    [
        (image_of(True, True), True, True),
        (image_of(False, False), True, True),
        (image_of(None, None), True, True),
        (image_of(True), True, True),
        (image_of(False), False, None),
        (image_of(None), None, None),
    ],
    ids=range(6),
)
def test_record_tells_if_the_image_shows_a_lesion(image, labeled, unlabeled):
    """Where lesions are not marked, one that is not malignant may still be there."""
    for is_labeled, expected in ((True, labeled), (False, unlabeled)):
        document = make_document([image], "malignant", "", is_labeled=is_labeled)
        assert document["images"][0].get("lesion") is expected
