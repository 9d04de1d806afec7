import numpy as np

from medmask.evaluation.structures import Detections, rows_of_images


def test_rows_of_each_image_keep_their_order():
    image_indices = np.array([3, 1, 3, 0, 1, 3])
    rows = rows_of_images(image_indices, 5)
    assert [each.tolist() for each in rows] == [[3], [1, 4], [], [0, 2, 5], []]


def test_images_without_any_box():
    rows = rows_of_images(np.zeros(0, dtype=np.int64), 2)
    empty = np.zeros(0, dtype=np.int64)
    detections = Detections(np.zeros((0, 4)), np.zeros(0), empty, empty)
    assert [len(detections.select(each)) for each in rows] == [0, 0]
