import pytest

from medmask.utils.counts import counted


@pytest.mark.parametrize(
    ("count", "forms", "text"),
    [
        (1, ("image",), "1 image"),
        (0, ("image",), "0 images"),
        (2, ("image",), "2 images"),
        (1_000_000, ("image",), "1000000 images"),
        ("no", ("problem",), "no problems"),
        (1, ("box", "boxes"), "1 box"),
        (3, ("mask belongs", "masks belong"), "3 masks belong"),
        (1.0, ("false positive",), "1 false positive"),
        (0.5, ("false positive",), "0.5 false positives"),
    ],
)
def test_noun_is_in_the_singular_for_one_alone(count, forms, text):
    assert counted(count, *forms) == text
