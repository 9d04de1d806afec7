"""Regions of EMBED: pictures that were mirrored, and boxes on the empty part of an image."""

import numpy as np
import pydicom
import pytest

from medmask.converters.embed.regions import is_on_tissue, read_frame, to_box, was_mirrored
from medmask.errors import InputError


@pytest.mark.parametrize(
    ("region", "in_dicom", "width"),
    [
        # pairs of both columns as the release of 2024 has them, and the widths that follow
        ((1555, 245, 1850, 547), (1555, 1449, 1850, 1751), 1996),
        ((903, 349, 1137, 582), (903, 1414, 1137, 1647), 1996),
        ((2593, 408, 3085, 912), (2593, 2416, 3085, 2920), 3328),
        ((1459, 890, 1959, 1321), (1459, 1239, 1959, 1670), 2560),
    ],
)
def test_mirrored_regions(region, in_dicom, width):
    y0, x0, y1, x1 = in_dicom
    assert to_box(region, (4096, width), mirrored=True) == (x0, y0, x1, y1)
    assert to_box(in_dicom, (4096, width), mirrored=False) == (x0, y0, x1, y1)


def test_a_mirrored_region_covers_the_same_pixels():
    """By drawing: the region in the mirrored picture is the box in the image."""
    picture = np.zeros((7, 9), int)
    picture[1:3, 2:6] = 1
    x0, y0, x1, y1 = map(int, to_box((1, 2, 3, 6), picture.shape, mirrored=True))
    image = picture[:, ::-1]
    assert image[y0:y1, x0:x1].all()
    assert image[y0:y1, x0:x1].size == image.sum()


def test_regions_are_cut_to_the_image_or_none():
    assert to_box((-3, 5, 4, 20), (10, 12), mirrored=False) == (5, 0, 12, 4)
    assert to_box((0, 20, 4, 30), (10, 12), mirrored=False) is None
    assert to_box((0, 20, 4, 30), (10, 12), mirrored=True) is None
    assert to_box((4, 3, 4, 6), (10, 12), mirrored=False) is None


@pytest.mark.parametrize(
    ("orientation", "side", "view", "mirrored"),
    [
        (["P", "L"], "R", "CC", True),
        (["A", "R"], "L", "CC", False),
        (["P", "FL"], "L", "MLO", True),
        (["P"], "L", "ml", True),
        (["P", "L"], "R", "XCCL", False),
        (["P", "L"], "R", None, False),
        ([], "R", "MLO", True),
        ([], "L", "MLO", False),
        ([], None, "CC", False),
    ],
    ids=range(9),
)
def test_which_pictures_were_mirrored(orientation, side, view, mirrored):
    assert was_mirrored(orientation, side, view) is mirrored


def test_frames_are_read_from_the_header(write_dicom):
    path = write_dicom(np.zeros((20, 30), np.uint16), PatientOrientation=["P", "L"])
    assert read_frame(path, "R", "CC") == (20, 30, True)
    path = write_dicom(np.zeros((20, 30), np.uint16), PatientOrientation=["A", "R"])
    assert read_frame(path, "R", "CC") == (20, 30, False)
    path = write_dicom(np.zeros((20, 30), np.uint16))
    assert read_frame(path, "R", "CC") == (20, 30, True)


def test_an_orientation_that_is_no_text_is_a_fault_of_the_file(write_dicom):
    path = write_dicom(np.zeros((20, 30), np.uint16))
    dataset = pydicom.dcmread(path)
    dataset.add_new("PatientOrientation", "US", 5)
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"image\.dcm: the element Patient Orientation .* words"):
        read_frame(path, "R", "CC")


def test_boxes_on_tissue():
    pixels = np.zeros((40, 40), np.uint16)
    pixels[:, :20] = np.linspace(500, 3000, 20, dtype=np.uint16)
    assert is_on_tissue(pixels, (2, 2, 12, 12))
    assert is_on_tissue(pixels, (15, 2, 35, 12))
    assert not is_on_tissue(pixels, (25, 2, 35, 12))
    assert not is_on_tissue(np.zeros((40, 40), np.uint8), (2, 2, 12, 12))
