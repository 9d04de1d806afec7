"""Any folder of DICOM: what is taken, and why the rest is not."""

import logging

import cv2
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import BasicTextSRStorage
from pydicom.uid import DigitalMammographyXRayImageStorageForProcessing as MammographyForProcessing

from medmask.converters.contract import MarkedLesions
from medmask.converters.dicom_folder import CONVERTER, read
from medmask.converters.options import ConversionOptions
from medmask.converters.run import convert

PIXELS = np.arange(600, dtype=np.uint16).reshape(30, 20)


def test_mammograms_of_any_name(tmp_path, write_dicom):
    write_dicom(
        PIXELS,
        name="raw/case1/IM0001",
        PatientID="p1",
        StudyDate="20100102",
        ImageLaterality="L",
        ViewPosition="CC",
        Modality="MG",
        Manufacturer="ACME",
        ManufacturerModelName="M1",
    )
    write_dicom(PIXELS, name="raw/1.2.840.7.dcm", ImageLaterality="B", Laterality="")
    contents = read(tmp_path / "raw")
    assert not contents.problems
    assert not contents.left_out
    assert CONVERTER.marked is MarkedLesions.NONE
    bare, image = sorted(contents.images, key=lambda image: image.name)
    assert image.name == "case1/IM0001"
    assert (image.patient_id, image.study_date) == ("p1", "20100102")
    assert (image.laterality, image.view, image.scanner) == ("L", "CC", "ACME M1")
    assert bare.name == "1.2.840.7"
    assert (bare.patient_id, bare.laterality, bare.scanner) == (None, None, None)


def test_archives_are_told(tmp_path, write_dicom):
    """Exports of hospitals come as one archive a study."""
    write_dicom(PIXELS, name="raw/study1/1.dcm")
    for name in ("study2.zip", "study3.ZIP", "._study2.zip"):
        (tmp_path / "raw" / name).write_bytes(b"PK\3\4")
    contents = read(tmp_path / "raw")
    assert [image.name for image in contents.images] == ["study1/1"]
    (problem,) = contents.problems
    assert "2 archives, the first is" in problem
    assert "study2.zip; unpack them" in problem


def test_files_that_differ_in_their_suffix_alone_are_images_of_their_own(tmp_path, write_dicom):
    for number, name in enumerate(["a", "a.dcm", "a.DCM", "b/a.dcm", "c.1.dcm"]):
        write_dicom(PIXELS + number, name=f"raw/{name}")
    contents = read(tmp_path / "raw")
    assert not contents.problems
    names = {str(x.path.relative_to(tmp_path / "raw")): x.name for x in contents.images}
    assert names == {
        "a": "a",
        "a.dcm": "a.dcm",
        "a.DCM": "a.DCM",
        "b/a.dcm": "b/a",
        "c.1.dcm": "c.1",
    }


@pytest.mark.parametrize(
    ("position", "code", "view"),
    [
        (None, "399162004", "CC"),
        ("", "R-10226", "MLO"),
        ("ML", "399162004", "ML"),
        (None, "1", None),
    ],
)
def test_view_by_its_code(tmp_path, write_dicom, position, code, view):
    item = Dataset()
    item.CodeValue = code
    write_dicom(PIXELS, name="raw/a.dcm", ViewPosition=position, ViewCodeSequence=[item])
    contents = read(tmp_path / "raw")
    assert not contents.problems
    assert [image.view for image in contents.images] == [view]


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")  # of pydicom, which writes it
def test_side_and_view_in_small_letters(tmp_path, write_dicom):
    write_dicom(PIXELS, name="raw/a.dcm", ImageLaterality="r", ViewPosition="mlo")
    (image,) = read(tmp_path / "raw").images
    assert (image.laterality, image.view) == ("R", "MLO")


def test_backslash_in_an_identifier_of_a_patient_is_a_part_of_it(tmp_path, write_dicom):
    """The standard forbids it, and pydicom takes it for two values."""
    write_dicom(PIXELS, name="raw/a.dcm", PatientID=["A", "17"])
    contents = read(tmp_path / "raw")
    assert not contents.problems
    assert [image.patient_id for image in contents.images] == ["A\\17"]


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "US"}, "modality is US"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING"),
        ({"SOPClassUID": MammographyForProcessing}, "FOR PROCESSING"),
    ],
)
def test_other_images_are_left_out(tmp_path, write_dicom, elements, reason):
    write_dicom(PIXELS, name="raw/a.dcm", **elements)
    contents = read(tmp_path / "raw")
    assert not contents.images
    (left_out,) = contents.left_out
    assert reason in left_out.reason


def test_tomosynthesis_and_copies_are_left_out(tmp_path, write_dicom):
    write_dicom(np.stack([PIXELS] * 2), name="raw/a.dcm")
    write_dicom(PIXELS, name="raw/b.dcm", SOPInstanceUID="1.2.3")
    write_dicom(PIXELS, name="raw/c/b.dcm", SOPInstanceUID="1.2.3")
    contents = read(tmp_path / "raw")
    assert [image.name for image in contents.images] == ["b"]
    assert [each.name for each in contents.left_out] == ["a", "c/b"]
    assert "2 frames" in contents.left_out[0].reason
    assert "same image as" in contents.left_out[1].reason


def test_images_of_one_identifier_and_other_pixels_are_no_copies(tmp_path, write_dicom):
    for name, pixels in [("a", PIXELS), ("b", PIXELS[::-1]), ("c", PIXELS), ("d", PIXELS[::-1])]:
        write_dicom(pixels, name=f"raw/{name}.dcm", SOPInstanceUID="1.2.3")
    write_dicom(PIXELS.reshape(20, 30), name="raw/e.dcm", SOPInstanceUID="1.2.3")
    contents = read(tmp_path / "raw")
    assert [image.name for image in contents.images] == ["a", "b", "e"]
    reasons = {each.name: each.reason for each in contents.left_out}
    assert reasons == {
        "c": f"it is the same image as {tmp_path / 'raw/a.dcm'}",
        "d": f"it is the same image as {tmp_path / 'raw/b.dcm'}",
    }


def test_a_broken_copy_does_not_stand_for_a_sound_one(tmp_path, write_dicom):
    path = write_dicom(PIXELS, name="raw/a.dcm", SOPInstanceUID="1.2.3")
    path.write_bytes(path.read_bytes()[:-600])
    write_dicom(PIXELS, name="raw/b.dcm", SOPInstanceUID="1.2.3")
    contents = read(tmp_path / "raw")
    assert [image.name for image in contents.images] == ["b"]
    assert [each.name for each in contents.left_out] == ["a"]
    (problem,) = contents.problems
    assert "a.dcm is cut off: of the 1200 bytes of its pixels it holds 600" in problem


def test_an_image_without_its_height_is_a_problem(tmp_path, write_dicom):
    write_dicom(PIXELS, name="raw/a.dcm", Rows=None)
    contents = read(tmp_path / "raw")
    assert not contents.images
    (problem,) = contents.problems
    assert "the element Rows (0028,0010) is missing or empty" in problem


def test_files_that_are_no_images(tmp_path, write_dicom):
    raw = tmp_path / "raw"
    write_dicom(PIXELS, name="raw/a.dcm")
    write_dicom(PIXELS, name="raw/.hidden.dcm")
    write_dicom(PIXELS, name="raw/DICOMDIR")
    (raw / "notes.txt").write_text("nothing")
    (raw / "link.dcm").symlink_to(raw / "nowhere.dcm")
    (raw / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    contents = read(raw)
    assert [image.name for image in contents.images] == ["a"]
    assert [each.name for each in contents.left_out] == ["broken"]
    link, broken = contents.problems
    assert "link.dcm is a link that leads nowhere; fetch its file" in link
    assert "broken.dcm" in broken


def test_other_images_of_the_folder_are_told(tmp_path, write_dicom):
    write_dicom(PIXELS, name="raw/a.dcm")
    assert cv2.imwrite(str(tmp_path / "raw" / "b.png"), PIXELS)
    contents = read(tmp_path / "raw")
    assert [image.name for image in contents.images] == ["a"]
    assert [(each.name, each.reason) for each in contents.left_out] == [
        ("b.png", "it is no DICOM file")
    ]


def test_an_image_that_ends_within_its_header_is_a_problem(tmp_path, write_dicom):
    path = write_dicom(PIXELS, name="raw/a.dcm", PatientID="1")
    report = write_dicom(PIXELS, name="raw/report.dcm", SOPClassUID=BasicTextSRStorage)
    for each in (path, report):
        content = each.read_bytes()
        each.write_bytes(content[: content.index(b"\x28\x00\x02\x00")])  # before group 0028
    contents = read(tmp_path / "raw")
    assert not contents.images
    (problem,) = contents.problems
    assert "a.dcm" in problem
    assert "may be cut off" in problem
    assert [each.name for each in contents.left_out] == ["a", "report"]


def test_images_without_a_patient_are_warned_of(tmp_path, write_dicom, caplog):
    write_dicom(PIXELS, name="raw/a.dcm")
    write_dicom(PIXELS, name="raw/b.dcm", PatientID="1")
    with caplog.at_level(logging.WARNING):
        convert("dicom_folder", tmp_path / "raw", tmp_path / "out", ConversionOptions())
    assert "1 of the 2 images" in caplog.text
    assert "each counts as a patient of its own" in caplog.text


def test_images_with_burned_in_text_are_warned_of(tmp_path, write_dicom, caplog):
    write_dicom(PIXELS, name="raw/a.dcm", BurnedInAnnotation="NO")
    write_dicom(PIXELS, name="raw/b.dcm", BurnedInAnnotation="YES")
    write_dicom(PIXELS, name="raw/c.dcm", BurnedInAnnotation="YES", Modality="OT")
    contents = read(tmp_path / "raw")
    assert [image.name for image in contents.images] == ["a", "b"]
    (warning,) = caplog.messages
    assert "1 image has writing in the pixels" in warning
    assert "(first b)" in warning
