import collections

import pytest

from medmask.data.image_order import LesionShareOrder, ShuffledOrder
from medmask.errors import InputError

HAS_LESIONS = [False, True, False, False, True, False, True, False]


def take(order, number):
    return [order(index) for index in range(number)]


def test_shuffles_follow_each_other():
    images = take(ShuffledOrder(5, seed=3), 50)
    epochs = [tuple(images[start : start + 5]) for start in range(0, 50, 5)]
    assert {tuple(sorted(epoch)) for epoch in epochs} == {tuple(range(5))}
    assert len(set(epochs)) > 5
    assert images != take(ShuffledOrder(5, seed=4), 50)
    assert images != take(ShuffledOrder(5, seed=3, group=1), 50)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 2 / 3, 0.9, 1.0])
def test_any_first_samples_hold_the_share_of_lesions(share):
    images = take(LesionShareOrder(HAS_LESIONS, share, seed=0), 600)
    with_lesions = 0
    for number, image in enumerate(images, start=1):
        with_lesions += HAS_LESIONS[image]
        assert abs(with_lesions - number * share) < 1 + 1e-6


def test_images_of_a_group_come_equally_often():
    images = take(LesionShareOrder(HAS_LESIONS, 0.5, seed=0), 3 * 5 * 4)
    counts = collections.Counter(images)
    assert {counts[i] for i in (1, 4, 6)} == {10}
    assert {counts[i] for i in (0, 2, 3, 5, 7)} == {6}


def test_the_order_is_that_of_its_seed():
    first, again, other = (take(LesionShareOrder(HAS_LESIONS, 0.5, s), 40) for s in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("has_lesions", "share", "message"),
    [
        ([False, False], 0.5, "^lesion_share is 0.5, but no image has lesions: .*null"),
        ([True], 0.5, "^lesion_share is 0.5, but all images have lesions"),
    ],
)
def test_images_that_are_not_there_cannot_be_asked_for(has_lesions, share, message):
    with pytest.raises(InputError, match=message):
        LesionShareOrder(has_lesions, share, seed=0)


def test_all_samples_may_have_lesions():
    assert set(take(LesionShareOrder([True, True], 1.0, seed=0), 10)) == {0, 1}
