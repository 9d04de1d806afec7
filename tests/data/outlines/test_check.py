"""Faulty outlines of a whole file."""

import math

import pytest

from medmask.coco import CocoTables
from medmask.data.outlines import outline_problems

WIDTH, HEIGHT = 20, 30
SQUARE = [2, 3, 9.5, 3, 9.5, 8, 2, 8]


def problems_of(*segmentations, **image):
    image = {"id": 7, "width": WIDTH, "height": HEIGHT} | image
    annotations = [
        {"id": number, "image_id": 7, "category_id": 1, "segmentation": segmentation}
        for number, segmentation in enumerate(segmentations)
    ]
    categories = [{"id": 1, "name": "malignant"}]
    content = {"images": [image], "annotations": annotations, "categories": categories}
    return list(outline_problems(CocoTables(content)))


def run_lengths(*counts, size=(HEIGHT, WIDTH)):
    return {"size": list(size), "counts": list(counts)}


def test_sound_outlines_and_boxes_alone():
    assert not problems_of(
        [SQUARE],
        [SQUARE, [2, 3, 2, 9, 2, 10]],  # a part of it is a line
        [[-0.5, 0, WIDTH + 1, 0, 5, HEIGHT + 0.5]],  # rounding
        run_lengths(2, 5, WIDTH * HEIGHT - 7),
        *([], None, math.nan, ""),
    )


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[]], "three corners or more"),
        ([[2, 3, 4, 5]], "three corners or more"),
        ([[2, 3, 4, 5, 6]], "three corners or more"),
        ([[2, 3, 4, 5, 6, 7, 8]], "x and y by turns"),
        ([[2, 3, 4, 5, 6, "7"]], "no list of x and y"),
        ([SQUARE, [2, 3, 4, 5, 6, math.nan]], "not finite"),
        ([[2, 3, 2, 9, 2, 10]], "no area"),
        ([[2, 3, 25, 3, 9, 8]], r"from \(2, 3\) to \(25, 8\), out of its image of 20 x 30"),
        ([[2, -3, 9, 3, 9, 8]], r"from \(2, -3\) to \(9, 8\), out of its image"),
        (run_lengths(WIDTH * HEIGHT), "mark no pixel"),
        (run_lengths(2, 5), "its counts are of 7 pixels"),
        (run_lengths(2, 5, 593, size=(WIDTH, HEIGHT)), "its size is"),
        ({"counts": [2, "5"]}, "no run lengths"),
        ("polygon", "it is str: give polygons or run lengths"),
    ],
    ids=range(14),
)
def test_faults_are_named(segmentation, words):
    (problem,) = problems_of([SQUARE], segmentation)
    assert problem.startswith("annotation 1 (image 7): its segmentation is faulty: ")
    with pytest.raises(ValueError, match=words):
        raise ValueError(problem)


def test_images_of_unknown_size_are_another_problem():
    assert not problems_of([[2, 3]], width=None)
