"""Faulty outlines of a whole file."""

import math

import pytest

from medmask.coco import CocoTables
from medmask.data.outlines import outline_problems

WIDTH, HEIGHT = 20, 30
SQUARE = [2, 3, 9.5, 3, 9.5, 8, 2, 8]


def problems_of(*segmentations, box=None, **image):
    image = {"id": 7, "width": WIDTH, "height": HEIGHT} | image
    annotations = [
        {"id": number, "image_id": 7, "category_id": 1, "segmentation": segmentation, "bbox": box}
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


@pytest.mark.parametrize(
    ("segmentation", "reach"),
    [
        ([[20, 30, 50, 30, 50, 70]], "from (20, 30) to (50, 70)"),
        ([[20, 30, 50, 30, 40, 40], [40, 60, 40, 70, 30, 70]], "from (20, 30) to (50, 70)"),
        # of 100 rows: column 2 from row 30 to 79, columns 3 to 31 whole
        (run_lengths(230, 50, 20, 2900, 6800, size=(100, 100)), "from (2, 0) to (32, 100)"),
    ],
)
def test_outline_elsewhere_than_its_box(segmentation, reach):
    x0, y0, x1, y1 = map(float, reach.replace("from (", "").replace(") to (", ", ")[:-1].split(","))
    width, height = x1 - x0, y1 - y0
    image = dict(width=100, height=100)
    for box in (
        [x0, y0, width, height],
        [x0 - 8, y0 - 8, width + 16, height + 16],  # a margin
        *(None, [1, 2, -3, 4]),  # another problem
    ):
        assert not problems_of(segmentation, box=box, **image)
    for box in (
        [70, 10, 9, 9],  # of another lesion
        [x0, y0, width / 2, height / 2],  # of another scale
        [x0 / 2, y0 / 2, width / 2, height / 2],
        [x0, y0, 2 * width, 2 * height],
    ):
        (problem,) = problems_of(segmentation, box=box, **image)
        shown = f"but the box from ({box[0]:g}, {box[1]:g}) to "
        assert f"faulty: it reaches {reach}, {shown}" in problem
        assert "of another lesion or another scale; correct it" in problem


def test_box_with_a_margin_around_a_small_outline():
    assert not problems_of([SQUARE], box=[-1, 0, 14, 11])
    assert problems_of([SQUARE], box=[2, 3, 14, 24])
