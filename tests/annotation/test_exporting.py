"""Pictures and pre-annotations for readers."""

import hashlib
import json
import os
import re
from dataclasses import replace
from xml.etree import ElementTree

import cv2
import numpy as np
import pydicom
import pytest

from medmask.annotation import ExportOptions, export_annotations
from medmask.annotation.exporting import TASKS
from medmask.annotation.manifest import MANIFEST, SHARED, read_manifest
from medmask.dicom_results.predictions import Finding, ScoredImage
from medmask.errors import InputError
from medmask.images import read_image
from medmask.utils.file_lock import locked_folder

SIZE = (96, 128)


def picture(export, name):
    return cv2.imread(str(export.shared / "images" / f"{name}.png"), cv2.IMREAD_UNCHANGED)


def test_picture_is_the_image_as_the_project_reads_it(export, phantoms):
    for image, path in zip(export.manifest.images, phantoms, strict=False):
        wanted = read_image(path)
        found = picture(export, image.name)
        assert found.dtype == np.uint8
        assert found.ndim == 2
        assert np.abs(found - wanted[..., 0]).max() <= 0.5 + 1e-4
        assert (image.width, image.height) == SIZE


def test_label_studio_shows_the_boxes(export):
    """Percent of the picture, by an own reading of Label Studio's formula."""
    first = export.tasks()[0]
    (prediction,) = first["predictions"]
    assert prediction["score"] == 0.91234567
    assert prediction["model_version"].endswith(" 0123456789abcdef")
    boxes = []
    for region in prediction["result"]:
        value = region["value"]
        assert value["rectanglelabels"] == ["malignant"]
        x, y = value["x"] / 100 * SIZE[0], value["y"] / 100 * SIZE[1]
        width, height = value["width"] / 100 * SIZE[0], value["height"] / 100 * SIZE[1]
        boxes.append((x, y, x + width, y + height))
    assert boxes[0] == pytest.approx((10.25, 20.5, 40.75, 61.125), abs=1e-9)
    assert boxes[1] == pytest.approx((50, 70, 96, 128), abs=1e-9)  # cut to the image
    assert len(boxes) == 2  # the third is below the threshold


def test_image_without_detections_is_a_task_without_predictions(export):
    assert [len(task.get("predictions", [])) for task in export.tasks()] == [1, 1, 0, 0]


def test_interface_has_the_controls_that_tasks_name(export):
    view = ElementTree.parse(export.shared / "label_studio/interface.xml").getroot()
    controls = {x.get("name"): x for x in view if x.get("toName")}
    (region, *_) = export.tasks()[0]["predictions"][0]["result"]
    control = controls[region["from_name"]]
    assert control.tag == "RectangleLabels"
    assert control.get("toName") == region["to_name"]
    assert [label.get("value") for label in control] == ["malignant"]
    assert view.find("Image").get("value") == "$image"


def painted(path):
    """A 16-bit image of 150 x 200 (width x height) with a breast on its left."""
    pixels = np.zeros((200, 150), np.uint16)
    cv2.ellipse(pixels, (0, 100), (70, 60), 0, 0, 360, 3000, -1)
    pixels[90:110, 20:40] = 4000
    cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("max_size", [None, 64], ids=["cropped", "reduced"])
def test_boxes_follow_crop_and_scale(tmp_path, predictions, max_size):
    box = (20.0, 90.0, 40.0, 110.0)
    image = ScoredImage(painted(tmp_path / "painted.png"), (Finding(box, 0.8, "mass"),))
    changed = replace(predictions, images=(image,), categories=("mass",))
    options = ExportOptions(crop_to_breast=True, max_size=max_size)
    export_annotations(changed, tmp_path / "out", options)
    manifest = read_manifest(tmp_path / "out" / MANIFEST)
    pixel_map = manifest.images[0].pixel_map
    x0, y0, x1, y1 = pixel_map.crop
    assert (x0, x1 < 90, y0 > 30, y1 < 170) == (0, True, True, True)
    width, height = pixel_map.width, pixel_map.height
    assert max(width, height) == (max_size or y1 - y0)

    (task,) = json.loads((tmp_path / "out" / SHARED / TASKS).read_text())
    value = task["predictions"][0]["result"][0]["value"]
    near = np.array([(value["x"] * width / 100, value["y"] * height / 100)])
    far = near + np.array((value["width"] * width / 100, value["height"] * height / 100))
    stored = pixel_map.to_stored(np.concatenate((near, far)))
    assert np.abs(stored.ravel() - box).max() < 1e-6
    shown = cv2.imread(str(tmp_path / "out" / SHARED / "images" / f"{task['data']['name']}.png"), 0)
    assert shown.shape == (height, width)
    (left, top), (right, bottom) = near[0].astype(int) + 1, far[0].astype(int) - 1
    assert (shown[top:bottom, left:right] > 250).all()
    assert (shown[: top - 2] < 200).all()


def test_crop_holds_detections_beside_the_breast(tmp_path, predictions):
    image = ScoredImage(
        painted(tmp_path / "painted.png"),
        (Finding((120.5, 180.0, 140.0, 199.5), 0.8, "mass"), Finding((0, 0, 9, 9), 0.1, "mass")),
    )
    changed = replace(predictions, images=(image,), categories=("mass",))
    export_annotations(changed, tmp_path / "out", ExportOptions(crop_to_breast=True))
    (exported,) = read_manifest(tmp_path / "out" / MANIFEST).images
    assert exported.pixel_map.crop[1] > 30  # not for one below the threshold
    assert exported.pixel_map.crop[2:] == (140, 200)


def test_hashes_are_those_of_the_files(export):
    manifest = export.manifest
    for name, digest in manifest.files.items():
        assert hashlib.sha256((export.shared / name).read_bytes()).hexdigest() == digest
    for image in manifest.images:
        content = (export.shared / "images" / f"{image.name}.png").read_bytes()
        assert hashlib.sha256(content).hexdigest() == image.sha256
        with open(image.source, "rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == image.source_sha256
    files = [path for path in export.shared.rglob("*") if path.is_file()]
    others = {str(x.relative_to(export.shared)) for x in files if x.suffix != ".png"}
    assert others == set(manifest.files)


def test_nothing_of_the_patient_is_shared(export, phantoms):
    header = pydicom.dcmread(phantoms[0], stop_before_pixels=True)
    words = [str(header.PatientID), str(header.SOPInstanceUID), phantoms[0].stem]
    words += [str(phantoms[0].parent), "PatientID"]
    files = [path for path in export.shared.rglob("*") if path.is_file()]
    assert len(files) == 9
    for path in files:
        assert re.fullmatch(r"\d{5}_[0-9a-f]{16}\.png|[a-z]+\.(json|xml)", path.name)
        for word in words:
            assert word.encode() not in path.read_bytes()


def test_image_whose_name_is_not_unicode_is_left_out(tmp_path, predictions):
    """Such a name would keep the whole manifest from being read back."""
    path = painted(tmp_path / "painted.png").rename(os.fsdecode(bytes(tmp_path) + b"/\xff.png"))
    images = (ScoredImage(path, ()), predictions.images[0])
    summary = export_annotations(replace(predictions, images=images), tmp_path / "out")
    assert (summary.images, len(summary.problems)) == (1, 1)
    assert "\N{REPLACEMENT CHARACTER}.png has a name that is not Unicode" in summary.problems[0]
    assert len(read_manifest(tmp_path / "out" / MANIFEST).images) == 1


def test_codes_need_the_secret(make_export):
    """Of the same images, another export has other names."""
    first, second = make_export("a"), make_export("b")
    assert not set(first.names) & set(second.names)


class TestRepeating:
    def test_is_refused(self, export, predictions):
        with pytest.raises(InputError, match="holds an export already"):
            export_annotations(predictions, export.folder)

    def test_is_refused_while_another_run_writes_it(self, export, predictions):
        """Pictures of both would lie in one folder, and one manifest lead back."""
        with (
            locked_folder(export.folder, "this test writes"),
            pytest.raises(InputError, match=f"another run is writing an export to {export.folder}"),
        ):
            export_annotations(predictions, export.folder, overwrite=True)

    def test_is_refused_after_a_kill(self, export, predictions):
        (export.folder / MANIFEST).unlink()
        with pytest.raises(InputError, match="holds pictures of an export that did not end"):
            export_annotations(predictions, export.folder)

    def test_overwriting_keeps_names_and_leaves_no_picture(self, export, predictions):
        before = export.names
        options = ExportOptions(score_threshold=0.0)
        export_annotations(predictions, export.folder, options, overwrite=True)
        assert export.names == before
        assert len(list((export.shared / "images").iterdir())) == 4
        assert len(export.tasks()[0]["predictions"][0]["result"]) == 3


class TestRefusals:
    def test_of_images_do_not_stop_the_rest(self, tmp_path, predictions, write_dicom):
        faulty = tmp_path / "faulty.png"
        faulty.write_text("none")
        pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
        paths = {
            faulty: "faulty.png",
            tmp_path / "absent.dcm": "does not exist",
            write_dicom(np.stack([pixels] * 2), name="frames.dcm"): "holds several frames",
            write_dicom(pixels, name="text.dcm", BurnedInAnnotation="YES"): "writing in its pixels",
        }
        images = [ScoredImage(path, ()) for path in paths]
        mixed = (*images[:2], predictions.images[0], *images[2:])
        changed = replace(predictions, images=mixed)
        summary = export_annotations(changed, tmp_path / "out")
        assert summary.images == 1
        for problem, (path, words) in zip(summary.problems, paths.items(), strict=True):
            assert words in problem
            assert str(path) in problem

    def test_burned_in_text_may_be_allowed(self, tmp_path, predictions, write_dicom):
        pixels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
        path = write_dicom(pixels, BurnedInAnnotation="YES")
        image = ScoredImage(path, ())
        changed = replace(predictions, images=(image,))
        options = ExportOptions(allow_burned_in_text=True)
        assert not export_annotations(changed, tmp_path / "out", options).problems

    def test_of_classes(self, tmp_path, predictions):
        with pytest.raises(InputError, match="name it, too"):
            export_annotations(predictions, tmp_path, ExportOptions(classes=("benign",)))
        nameless = replace(predictions, categories=())
        with pytest.raises(InputError, match="--classes"):
            export_annotations(nameless, tmp_path)

    @pytest.mark.parametrize(
        "options", [{"score_threshold": 1.5}, {"max_size": 10}], ids=["score", "size"]
    )
    def test_of_options(self, options):
        with pytest.raises(InputError):
            ExportOptions(**options)
