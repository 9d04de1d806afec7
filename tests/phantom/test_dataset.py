import hashlib
import json
import os
import runpy
import signal
import sys
import threading
import time
from multiprocessing import forkserver
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pycocotools.coco import COCO

from medmask.coco import decode_mask
from medmask.errors import InputError
from medmask.phantom import PhantomParameters, generate_patient, make_phantom_dataset
from medmask.phantom.contact_sheet import draw_contact_sheet, write_contact_sheet
from medmask.phantom.dataset import MANIFEST
from medmask.utils.file_lock import locked_folder

ROOT = Path(__file__).parents[2]
TINY = PhantomParameters(48, 64, seed=7)
SIZES = {"train": 10, "val": 6}


def make(output, parameters=TINY, split_sizes=SIZES, **options):
    return make_phantom_dataset(output, parameters, split_sizes=split_sizes, **options)


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantom")
    assert make(root)
    return root


def read(root: Path, domain: str, split: str) -> dict:
    return json.loads((root / domain / "annotations" / f"instances_{split}.json").read_text())


@pytest.mark.parametrize("domain", ["film", "ffdm"])
@pytest.mark.parametrize("split", SIZES)
def test_the_tree_is_that_of_a_real_data_set(tree, domain, split):
    document = read(tree, domain, split)
    images, annotations = document["images"], document["annotations"]
    assert document["categories"] == [{"id": 1, "name": "malignant"}]
    assert document["info"]["generator"]["seed"] == 7
    assert [image["id"] for image in images] == list(range(1, SIZES[split] + 1))
    assert [a["id"] for a in annotations] == list(range(1, len(annotations) + 1))
    folder = tree / domain / "images" / split
    assert sorted(path.name for path in folder.iterdir()) == sorted(i["file_name"] for i in images)
    by_id = {image["id"]: image for image in images}
    for image in images:
        pixels = cv2.imread(str(folder / image["file_name"]), cv2.IMREAD_UNCHANGED)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (image["height"], image["width"]) == (64, 48)
        assert image["view"] in ("CC", "MLO")
        assert image["laterality"] in ("L", "R")
    for annotation in annotations:
        x, y, width, height = annotation["bbox"]
        image = by_id[annotation["image_id"]]
        assert 0 <= x < x + width <= image["width"]
        assert 0 <= y < y + height <= image["height"]
        assert annotation["area"] == width * height
        assert annotation["segmentation"]["size"] == [image["height"], image["width"]]
        mask = decode_mask(annotation["segmentation"]["counts"], (image["height"], image["width"]))
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        assert [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1] == annotation["bbox"]
        assert annotation["category_id"] == 1
        assert annotation["iscrowd"] == 0
        assert annotation["lesion_type"] in ("mass", "calcification_cluster")
    assert len(COCO(tree / domain / "annotations" / f"instances_{split}.json").imgs) == len(images)


def test_the_boxes_on_disk_are_those_of_the_patients(tree):
    document = read(tree, "film", "train")
    patient = generate_patient(TINY, "film", "train", 1)
    records = [i for i in document["images"] if i["patient_id"] == patient.patient_id]
    assert [(r["laterality"], r["view"]) for r in records] == [
        (i.laterality, i.view) for i in patient.images
    ]
    for record, image in zip(records, patient.images, strict=True):
        boxes = [a["bbox"] for a in document["annotations"] if a["image_id"] == record["id"]]
        assert boxes == [list(lesion.box) for lesion in image.lesions]
        path = tree / "film" / "images" / "train" / record["file_name"]
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), image.quantized(8))


def test_no_patient_is_in_two_splits_or_domains(tree):
    patients = [
        {image["patient_id"] for image in read(tree, domain, split)["images"]}
        for domain in ("film", "ffdm")
        for split in SIZES
    ]
    assert len(set.union(*patients)) == sum(len(group) for group in patients)
    contents = list(digests(tree).values())
    assert len(set(contents)) == len(contents)


def test_the_bytes_do_not_depend_on_workers_or_other_splits(tree, tmp_path):
    make(tmp_path / "other", split_sizes={"train": 10, "test": 2}, workers=2)
    expected, found = digests(tree), digests(tmp_path / "other")
    shared = [name for name in found if "train" in name]
    assert len(shared) == 22
    assert {name: expected[name] for name in shared} == {name: found[name] for name in shared}


def test_a_larger_split_begins_with_the_smaller_one(tree, tmp_path):
    make(tmp_path / "more", split_sizes={"train": 13}, domains=["ffdm"])
    expected, found = digests(tree / "ffdm"), digests(tmp_path / "more" / "ffdm")
    images = [name for name in expected if name.startswith("images/train")]
    assert {n: expected[n] for n in images}.items() <= found.items()
    assert not (tmp_path / "more" / "film").exists()


def test_asking_again_does_nothing(tree):
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*")}
    assert not make(tree)
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*")} == before


def test_an_interrupted_run_is_done_again(tmp_path):
    make(tmp_path, split_sizes={"train": 3}, domains=["film"])
    expected = digests(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "complete": False}))
    (tmp_path / "film" / "annotations" / "instances_train.json").unlink()
    next((tmp_path / "film" / "images" / "train").iterdir()).write_bytes(b"half")
    assert make(tmp_path, split_sizes={"train": 3}, domains=["film"])
    assert digests(tmp_path) == expected


def test_two_runs_do_not_write_one_folder(tmp_path):
    make(tmp_path, split_sizes={"train": 3}, domains=["film"])
    with locked_folder(tmp_path, "of the test"):  # as another run does
        assert not make(tmp_path, split_sizes={"train": 3}, domains=["film"])
        before = digests(tmp_path)
        with pytest.raises(InputError, match=r"another run is writing phantoms to .*: wait"):
            make(tmp_path, split_sizes={"train": 2}, domains=["film"], overwrite=True)
    assert digests(tmp_path) == before


def test_other_parameters_need_leave_to_overwrite(tmp_path):
    make(tmp_path, split_sizes={"train": 6}, domains=["film"])
    other = PhantomParameters(48, 64, seed=8)
    with pytest.raises(InputError, match=r"differ in seed, images: .*--overwrite"):
        make(tmp_path, other, {"train": 2}, domains=["film"])
    assert make(tmp_path, other, {"train": 2}, domains=["film"], overwrite=True)
    assert len(list((tmp_path / "film" / "images" / "train").iterdir())) == 2


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="holds no phantoms"):
        make(tmp_path, overwrite=True)
    with pytest.raises(InputError, match="holds no phantoms"):
        make(tmp_path / "thesis.txt")
    with pytest.raises(InputError, match="cannot write phantoms to"):
        make(tmp_path / "thesis.txt" / "below")
    for content in ("[1, 2]", "[" * 100_000, '{"complete": true, "domains": 7}', '{"complete"'):
        (tmp_path / MANIFEST).write_text(content)
        with pytest.raises(InputError, match="was not written by this tool"):
            make(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_sizes": {"holdout": 3}}, "split 'holdout'"),
        ({"split_sizes": {"train": -3}}, "number of train images is -3"),
        ({"split_sizes": {"train": 0}}, "no images are asked for"),
        ({"domains": []}, "no domain is asked for"),
        ({"domains": ["xray"]}, "domain 'xray'"),
        ({"file_format": "bmp"}, "format 'bmp'"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_a_bad_request_is_named_and_writes_nothing(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        make(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_16_bit_png_holds_12_bit_values(tmp_path):
    make(tmp_path, split_sizes={"train": 1}, domains=["film"], file_format="png16")
    (path,) = (tmp_path / "film" / "images" / "train").iterdir()
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    assert 255 < pixels.max() <= 4095
    assert len(np.unique(pixels)) > 256


def test_dicom_files_say_what_they_are(tmp_path):
    options = {"split_sizes": {"train": 8}, "domains": ["film"], "file_format": "dicom"}
    make(tmp_path / "first", **options)
    make(tmp_path / "second", **options)
    assert digests(tmp_path / "first") == digests(tmp_path / "second")
    document = read(tmp_path / "first", "film", "train")
    uids, photometric = set(), set()
    for record in document["images"]:
        path = tmp_path / "first" / "film" / "images" / "train" / record["file_name"]
        assert path.suffix == ".dcm"
        dataset = pydicom.dcmread(path)
        assert dataset.Modality == "MG"
        assert dataset.PatientID == record["patient_id"]
        assert dataset.ImageLaterality == record["laterality"]
        assert dataset.ViewPosition == record["view"]
        assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (16, 12, 11)
        assert dataset.PixelSpacing == dataset.ImagerPixelSpacing == [3.75, 3.75]
        assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        uids.add(dataset.SOPInstanceUID)
        photometric.add(dataset.PhotometricInterpretation)
        number = int(record["patient_id"][-5:])
        images = generate_patient(TINY, "film", "train", number).images
        expected = next(
            image.quantized(12)
            for image in images
            if (image.laterality, image.view) == (record["laterality"], record["view"])
        )
        inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        assert inverted == (number % 2 == 1)
        pixels = 4095 - dataset.pixel_array if inverted else dataset.pixel_array
        assert np.array_equal(pixels, expected)
    assert len(uids) == 8
    assert photometric == {"MONOCHROME1", "MONOCHROME2"}


def test_the_contact_sheet_shows_both_domains_with_outlines(tmp_path, capfd):
    sheet = draw_contact_sheet(TINY, rows=2)
    assert sheet.dtype == np.uint8
    assert sheet.ndim == 3
    colored = np.ptp(sheet.astype(int), axis=2) > 40
    assert colored[:, : sheet.shape[1] // 2].any()
    assert colored[:, sheet.shape[1] // 2 :].any()
    for name in ("sheet.jpg", "sheet.PNG"):
        write_contact_sheet(tmp_path / name, TINY, rows=1)
        assert cv2.imread(str(tmp_path / name)) is not None
    assert capfd.readouterr().err == ""  # OpenCV warns of options that are not the format's
    with pytest.raises(InputError, match=r"let the name end in \.png or \.jpg"):
        write_contact_sheet(tmp_path / "sheet.txt", TINY, rows=1)


def test_the_tool_writes_and_reports_mistakes_in_one_sentence(tmp_path, monkeypatch, capsys):
    tool = runpy.run_path(str(ROOT / "tools" / "make_phantoms.py"))

    def run(*arguments) -> int:
        monkeypatch.setattr(sys, "argv", ["make_phantoms.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            tool["main"]()
        return exit_info.value.code

    sizes = ["--train", 2, "--val", 0, "--test", 0, "--size", "48x64", "--workers", 1]
    target = ["--output", tmp_path / "out", "--domains", "film"]
    assert run(*target, *sizes, "--contact-sheet", tmp_path / "sheet.txt") == 2
    assert not (tmp_path / "out").exists()
    assert run(*target, *sizes, "--contact-sheet", tmp_path / "out" / "sheet.png") == 0
    assert len(read(tmp_path / "out", "film", "train")["images"]) == 2
    assert (tmp_path / "out" / "sheet.png").exists()
    capsys.readouterr()
    assert run(*target, *sizes) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'} already holds these phantoms\n"
    assert run(*target, *sizes, "--seed", -1) == 2
    assert capsys.readouterr().err == "error: seed is -1: give 0 or more\n"
    assert run(*target, "--size", "large") == 2
    assert "'large' is no size" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_dead_worker_is_one_sentence(tmp_path):
    def kill_a_worker():
        deadline, workers = time.monotonic() + 240, []
        while not workers and time.monotonic() < deadline:
            time.sleep(0.05)
            server = forkserver._forkserver._forkserver_pid
            lists = Path(f"/proc/{server}/task").glob("*/children") if server else ()
            workers = [int(child) for file in lists for child in file.read_text().split()]
        os.kill(workers[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    with pytest.raises(InputError, match="a worker process died"):
        make(tmp_path / "phantoms", split_sizes={"train": 4000}, workers=2)
    killer.join()
