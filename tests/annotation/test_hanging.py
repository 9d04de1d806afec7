"""Images are turned and mirrored as readers hang them, and annotations come back all the same."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from medmask.annotation import ExportOptions, export_annotations, import_annotations
from medmask.annotation.hanging import find_hanging
from medmask.annotation.manifest import SHARED, read_manifest
from medmask.dicom_results.predictions import Finding, ScoredImage
from medmask.errors import InputError

HEIGHT, WIDTH = 40, 30
HUNG = {
    ("L", "MLO"): ("A", "F"),
    ("R", "MLO"): ("P", "F"),
    ("L", "CC"): ("A", "R"),
    ("R", "CC"): ("P", "L"),
}
"""Where rows and columns lead in an image that is hung: to the front, back, side or feet."""
OPPOSITE = {"A": "P", "P": "A", "L": "R", "R": "L", "H": "F", "F": "H"}


def hung_image():
    """An image in which every place differs from its mirror images."""
    pixels = np.full((HEIGHT, WIDTH), 100, np.uint16)
    pixels[:4] = 1000  # above
    pixels[:, :3] = 2000  # on the left
    pixels[6:12, 20:28] = 4000  # the lesion
    return pixels


def lay(pixels, orientation, box, turns, mirrored):
    """Turn an image counterclockwise, then mirror it; its orientation and the box go with it.

    By arrays alone: where a marked pixel goes, the box goes.
    """
    rows, columns = orientation
    mask = np.zeros(pixels.shape, bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    for _ in range(turns):
        pixels, mask = np.rot90(pixels), np.rot90(mask)
        rows, columns = columns, OPPOSITE[rows]  # what led down leads right, what led right up
    if mirrored:
        pixels, mask = pixels[:, ::-1], mask[:, ::-1]
        rows = OPPOSITE[rows]
    y, x = np.nonzero(mask)
    found = (x.min(), y.min(), x.max() + 1, y.max() + 1)
    return np.ascontiguousarray(pixels), [rows, columns], tuple(map(float, found))


@pytest.mark.parametrize("mirrored", [False, True], ids=["turned", "mirrored"])
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize(("side", "view"), HUNG, ids=lambda value: value)
def test_however_it_lies(write_dicom, tmp_path, predictions, side, view, turns, mirrored):
    wanted, place = hung_image(), (20, 6, 28, 12)
    pixels, orientation, box = lay(wanted, HUNG[side, view], place, turns, mirrored)
    path = write_dicom(
        pixels, ImageLaterality=side, ViewPosition=view, PatientOrientation=orientation
    )
    image = ScoredImage(path, (Finding(box, 0.9, "malignant"),))
    changed = type(predictions)("a", predictions.made, (image,), (), ("malignant",))
    export_annotations(changed, tmp_path / "out", ExportOptions(hang=True))
    (exported,) = read_manifest(tmp_path / "out" / "manifest.json").images
    shown = cv2.imread(str(tmp_path / "out" / SHARED / "images" / f"{exported.name}.png"), 0)
    stretched = np.rint((wanted - 100.0) / 3900 * 255).astype(np.uint8)
    np.testing.assert_array_equal(shown, stretched)
    assert exported.shown_boxes == [place]

    # a reader moves the box by a pixel to the right and comes back
    (task,) = json.loads((tmp_path / "out" / SHARED / "label_studio" / "tasks.json").read_text())
    region = task["predictions"][0]["result"][0]
    region["value"]["x"] += 100 / WIDTH
    done = [{"id": 1, "data": task["data"], "annotations": [{"result": [region]}]}]
    (tmp_path / "done.json").write_text(json.dumps(done))
    import_annotations(tmp_path / "out", tmp_path / "done.json", tmp_path / "set.json")
    x, y, width, height = json.loads((tmp_path / "set.json").read_text())["annotations"][0]["bbox"]
    moved = lay(wanted, HUNG[side, view], (21, 6, 29, 12), turns, mirrored)[2]
    assert (x, y, x + width, y + height) == pytest.approx(moved, abs=1e-6)


def test_picture_that_lies_otherwise_has_another_name(write_dicom, tmp_path, predictions):
    """What readers drew on the former one, of the same size, is not taken to be on it."""
    pixels, orientation, _ = lay(hung_image(), HUNG["L", "CC"], (20, 6, 28, 12), 0, True)
    path = write_dicom(
        pixels, ImageLaterality="L", ViewPosition="CC", PatientOrientation=orientation
    )
    changed = replace(predictions, images=(ScoredImage(path, ()),))
    output, done = tmp_path / "out", tmp_path / "done.json"
    export_annotations(changed, output)
    (task,) = json.loads((output / SHARED / "label_studio" / "tasks.json").read_text())
    done.write_text(json.dumps([task | {"id": 1, "annotations": [{"result": []}]}]))
    export_annotations(changed, output, ExportOptions(hang=True), overwrite=True)
    with pytest.raises(InputError, match="is none of the export"):
        import_annotations(output, done, tmp_path / "set.json")
    export_annotations(changed, output, overwrite=True)
    assert import_annotations(output, done, tmp_path / "set.json").reviewed == 1


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientOrientation": None},
        {"ViewPosition": None},
        {"ImageLaterality": None},
        {"ImageLaterality": "B"},
        {"PatientOrientation": ["A", "A"]},
        {"PatientOrientation": ["A", "X"]},
        {"PatientOrientation": "A"},
        {"PatientOrientation": ["L", "F"]},
    ],
    ids=["no orientation", "no view", "no side", "both sides", "one way", "letter", "one", "front"],
)
def test_what_does_not_tell_stays_as_it_is(write_dicom, elements):
    given = {"PatientOrientation": ["P", "F"], "ViewPosition": "MLO", "ImageLaterality": "L"}
    given = {key: value for key, value in (given | elements).items() if value is not None}
    assert find_hanging(write_dicom(hung_image(), **given)) is None


def test_letters_after_the_first_are_details(write_dicom):
    path = write_dicom(
        hung_image(), PatientOrientation=["AR", "FL"], ViewPosition="MLO", ImageLaterality="L"
    )
    assert find_hanging(path) == (0, False)
