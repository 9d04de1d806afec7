"""Which images are neither positive nor negative."""

from pathlib import Path

import pytest

from medmask.converters.annotations import ConvertedImage, find_unknown
from medmask.converters.contract import Lesion, SourceImage
from medmask.converters.image_files import WrittenImage

BOX = (1, 2, 3, 4)


def image_of(malignant: bool | None, *lesions: bool | None) -> ConvertedImage:
    marked = tuple(Lesion(box=BOX, malignant=lesion) for lesion in lesions)
    source = SourceImage(Path("a.png"), "a", malignant=malignant, lesions=marked)
    return ConvertedImage(1, source, WrittenImage("a", "a.png"))


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
