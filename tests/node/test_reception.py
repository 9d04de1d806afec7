"""What a node takes, what it refuses and how, and that the rest goes on."""

from io import BytesIO

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="a DICOM node needs the extra node")
pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")

from node_studies import faulty
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    MPEG2MPML,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from medmask.node.bounded_dataset import BoundedDataset
from medmask.node.received_object import RefusedObject, identify

SUCCESS, OUT_OF_RESOURCES, WRONG_CLASS, NOT_UNDERSTOOD = 0, 0xA700, 0xA900, 0xC000
PATIENT = "Confidential^Name"


def images_of(node_folder):
    return sorted(node_folder.glob("spool/studies/*/images/*"))


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("CT", None, "are not taken: CT Image Storage"),
        ("report", None, "are not taken: Comprehensive SR"),
        ("raw", None, "are not taken: Digital Mammography X-Ray Image Storage - For Processing"),
        ("raw by intent", WRONG_CLASS, "it is raw values for processing"),
        ("chest", WRONG_CLASS, "it is no mammogram (Modality MG)"),
        ("frames", WRONG_CLASS, "it has several frames"),
        ("no size", NOT_UNDERSTOOD, "it has no Rows or no Columns"),
        ("large", OUT_OF_RESOURCES, "it is larger than the limit of 1000000 bytes"),
    ],
)
def test_faulty_objects_among_good_ones(
    start_node, client, phantoms, tmp_path, caplog, kind, status, words
):
    caplog.set_level("INFO")
    node = start_node(quiet_seconds=60, max_object_bytes=1_000_000)
    bad = faulty(phantoms[0], kind)
    bad.PatientName = PATIENT
    assert client(node).send([phantoms[0], bad, phantoms[1]]) == [SUCCESS, status, SUCCESS]
    assert words in caplog.text
    assert PATIENT not in caplog.text
    assert len(images_of(tmp_path)) == 2


def test_file_is_what_was_sent(start_node, client, phantoms, tmp_path):
    node = start_node(quiet_seconds=60)
    client(node).send(phantoms[:1])
    (path,) = images_of(tmp_path)
    sent, stored = pydicom.dcmread(phantoms[0]), pydicom.dcmread(path)
    assert sent == stored
    assert stored.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert path.stem == sent.SOPInstanceUID
    assert path.parents[1].name == sent.StudyInstanceUID


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless], ids=["implicit", "RLE"])
def test_transfer_syntaxes(start_node, client, destination, phantoms, syntax):
    node = start_node()
    dataset = pydicom.dcmread(phantoms[0])
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = syntax
    sent = dataset if syntax == RLELossless else _as_implicit(dataset)
    assert client(node).send([sent]) == [SUCCESS]
    destination.wait_for(4)


def _as_implicit(dataset):
    buffer = BytesIO()
    dataset.save_as(buffer, implicit_vr=True, little_endian=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def test_video_is_not_taken(start_node, client, phantoms, caplog):
    caplog.set_level("INFO")
    node = start_node(quiet_seconds=60)
    dataset = pydicom.dcmread(phantoms[0])
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    assert client(node).send([phantoms[0], dataset]) == [SUCCESS, None]
    assert "are not taken: Digital X-Ray" in caplog.text


def test_full_disk(start_node, client, phantoms, tmp_path, caplog):
    node = start_node(min_free_bytes=2**60)
    assert client(node).send(phantoms[:1]) == [OUT_OF_RESOURCES]
    assert "would be free on the disk" in caplog.text
    assert not images_of(tmp_path)


def test_repeated_objects(start_node, client, phantoms, tmp_path, caplog):
    node = start_node(quiet_seconds=60)
    changed = pydicom.dcmread(phantoms[0])
    changed.PatientName = PATIENT
    statuses = client(node).send([phantoms[0], phantoms[0], changed])
    assert statuses == [SUCCESS, SUCCESS, NOT_UNDERSTOOD]
    assert "another one of this SOP Instance UID was received before" in caplog.text
    assert PATIENT not in caplog.text
    (path,) = images_of(tmp_path)
    assert pydicom.dcmread(path) == pydicom.dcmread(phantoms[0])


def test_studies_with_broken_pixels_are_answered_without_them(
    start_node, client, destination, phantoms, tmp_path, caplog
):
    node = start_node()
    bad = faulty(phantoms[0], "cut off")
    bad.BitsStored = 12
    assert client(node).send([phantoms[0], bad]) == [SUCCESS, SUCCESS]
    destination.wait_for(4)
    assert destination.kinds() == {
        str(bad.StudyInstanceUID): {"report": 1, "cad": 1, "presentation": 1, "capture": 1}
    }
    assert f"image {bad.SOPInstanceUID} of study" in caplog.text
    assert "is set aside" in caplog.text


class TestIdentification:
    """Headers that no proper client sends."""

    pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

    @pytest.fixture
    def dataset(self, phantoms):
        return pydicom.dcmread(phantoms[0], stop_before_pixels=True)

    @staticmethod
    def identify(dataset, syntax=ExplicitVRLittleEndian, **message):
        buffer = BytesIO()
        write_dataset(DicomIO(buffer), dataset)
        uids = {"class_uid": dataset.SOPClassUID, "instance_uid": dataset.SOPInstanceUID}
        return identify(buffer, syntax, **uids | message)

    def test_sound_one(self, dataset):
        identity = self.identify(dataset)
        assert identity.study_uid == dataset.StudyInstanceUID
        assert identity.instance_uid == dataset.SOPInstanceUID

    def test_other_class_than_the_message_says(self, dataset):
        with pytest.raises(RefusedObject, match="is not that of C-STORE"):
            self.identify(dataset, class_uid=generate_uid())

    def test_other_object_than_the_message_says(self, dataset):
        with pytest.raises(RefusedObject, match="is not that of C-STORE"):
            self.identify(dataset, instance_uid=generate_uid())

    @pytest.mark.parametrize("uid", ["", "..", "../../x", "1.2.3" * 20, "1..2", "/", "1.2\\1.3"])
    def test_identifiers_that_are_none(self, dataset, uid):
        dataset["StudyInstanceUID"]._value = uid  # pydicom sets no such value
        with pytest.raises(RefusedObject, match="StudyInstanceUID is missing or no identifier"):
            self.identify(dataset)

    def test_other_transfer_syntax(self, dataset):
        dataset.PatientName = PATIENT
        with pytest.raises(RefusedObject) as caught:
            self.identify(dataset, ExplicitVRBigEndian)
        assert PATIENT not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"\0" * 1000, bytes(range(256)) * 8])
    def test_no_dataset(self, content):
        with pytest.raises(RefusedObject):
            identify(BytesIO(content), ExplicitVRLittleEndian, "1.2.3", "1.2.3.4")


def test_bounded_dataset_keeps_nothing_over_its_limit():
    kept = BoundedDataset(10)
    kept.write(b"12345")
    kept.write(b"67890")
    assert not kept.is_over
    assert kept.getvalue() == b"1234567890"
    kept.write(b"1")
    assert kept.is_over
    kept.write(b"23")
    assert kept.getvalue() == b""
