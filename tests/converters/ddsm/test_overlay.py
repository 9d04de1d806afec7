import cv2
import numpy as np
import pytest

from medmask.converters.ddsm.overlay import read_overlay, trace_chain
from medmask.errors import InputError

SQUARE = "10 20 2 2 2 4 4 4 6 6 6 0 0 0 #"
OVERLAY = f"""TOTAL_ABNORMALITIES 2
ABNORMALITY 1
LESION_TYPE MASS SHAPE IRREGULAR MARGINS SPICULATED
LESION_TYPE CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED
ASSESSMENT 5
SUBTLETY 3
PATHOLOGY MALIGNANT
TOTAL_OUTLINES 9
BOUNDARY
{SQUARE}
\tCORE
11 21 2 4 6 0 #
ABNORMALITY 2
LESION_TYPE OTHER
PATHOLOGY UNPROVEN
TOTAL_OUTLINES 1
BOUNDARY
0 0 2 2
4 4 6 6 0 0 #
"""


def write(tmp_path, text):
    path = tmp_path / "A_1509_1.LEFT_CC.OVERLAY"
    path.write_text(text)
    return path


def test_abnormalities(tmp_path):
    first, second = read_overlay(write(tmp_path, OVERLAY))

    assert first.boundary.tolist() == [[10.5, 20.5], [13.5, 20.5], [13.5, 23.5], [10.5, 23.5]]
    assert [core.tolist() for core in first.cores] == [
        [[11.5, 21.5], [12.5, 21.5], [12.5, 22.5], [11.5, 22.5]]
    ]
    assert first.lesion_types == (
        "MASS SHAPE IRREGULAR MARGINS SPICULATED",
        "CALCIFICATION TYPE PLEOMORPHIC DISTRIBUTION CLUSTERED",
    )
    assert (first.assessment, first.subtlety, first.pathology) == ("5", "3", "MALIGNANT")
    assert (second.assessment, second.subtlety, second.pathology) == (None, None, "UNPROVEN")
    assert second.cores == ()
    assert second.boundary.max() == 2.5  # its chain goes on over two lines


def test_directions():
    compass = trace_chain(5, 5, [0, 1, 2, 3, 4, 5, 6, 7])
    assert compass.tolist() == [
        [5.5, 5.5],
        [5.5, 4.5],
        [6.5, 3.5],
        [7.5, 3.5],
        [8.5, 4.5],
        [8.5, 5.5],
        [7.5, 6.5],
        [6.5, 6.5],
    ]


@pytest.mark.parametrize("seed", range(5))
def test_corners_fill_what_all_pixels_of_the_chain_fill(seed):
    mask = np.zeros((60, 60), np.uint8)
    corners = np.random.default_rng(seed).integers(5, 55, (6, 2)).astype(np.int32)
    cv2.fillPoly(mask, [cv2.convexHull(corners)], 1)
    (contour,), _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    pixels = contour[:, 0]
    steps = np.diff(np.concatenate([pixels, pixels[:1]]), axis=0)
    code_of = {(0, -1): 0, (1, -1): 1, (1, 0): 2, (1, 1): 3}
    code_of |= {(-x, -y): code + 4 for (x, y), code in code_of.items()}

    outline = trace_chain(*pixels[0], [code_of[tuple(step)] for step in steps.tolist()])

    filled = np.zeros_like(mask)
    cv2.fillPoly(filled, [(outline - 0.5).astype(np.int32)], 1)
    assert (filled == mask).all()
    assert len(outline) < len(pixels)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("TOTAL_ABNORMALITIES 2", "TOTAL_ABNORMALITIES 3", "TOTAL_ABNORMALITIES 3 and has 2"),
        ("TOTAL_ABNORMALITIES 2\n", "", "does not begin with"),
        ("PATHOLOGY UNPROVEN\n", "", "without PATHOLOGY"),
        ("4 4 6 6 0 0 #", "4 4 6 6", "without the # at its end"),
        ("4 4 6 6 0 0 #", "4 4 8 6 0 0 #", "not one of 0 to 7"),
        ("4 4 6 6 0 0 #", "4 4 -1 6 0 0 #", "chain of directions"),
        ("\tCORE", "\tBOUNDARY", "2 BOUNDARY lines"),
    ],
)
def test_faults(tmp_path, old, new, fault):
    assert old in OVERLAY
    with pytest.raises(InputError, match=rf"A_1509_1.LEFT_CC.OVERLAY .*{fault}.*copy it again$"):
        read_overlay(write(tmp_path, OVERLAY.replace(old, new)))


def test_file_of_another_kind(tmp_path):
    path = tmp_path / "A_1509_1.LEFT_CC.OVERLAY"
    with pytest.raises(InputError, match="cannot be read"):
        read_overlay(path)
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match="is not ASCII text"):
        read_overlay(path)
