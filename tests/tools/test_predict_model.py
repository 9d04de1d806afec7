"""Prediction by an exported file, as users run it: on files, with an archive, in a node."""

import hashlib
import io
import json

import cv2
import numpy as np
import pydicom
import pytest
from calibrations import write_calibration
from fresh_runs import write_fresh_run
from isolation import assert_refused, run_tool
from painted_mammograms import paint_mammogram

from medmask.config import load_config
from medmask.inference.config_identity import hash_detector_config

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CONFIG = "configs/medmask/phantom/source_only.py"
SMALL = (
    "train.device=cpu",
    "model.transformer.num_encoder_layers=1",
    "model.transformer.num_decoder_layers=1",
    "dataloader.test.mapper.augmentation.short_edge_length=64",
    "dataloader.test.mapper.augmentation.breast_crop=True",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of two sizes, a checkpoint with its config, and the exported file."""
    folder = tmp_path_factory.mktemp("run")
    write_fresh_run(folder, name="model_best.pth", overrides=SMALL)
    (folder / "images").mkdir()
    for size in ((171, 133), (120, 133)):
        pixels, _ = paint_mammogram(*size, artifacts=False)
        cv2.imwrite(str(folder / "images" / f"{size[0]}.png"), pixels.astype(np.uint8))
    weights, output = folder / "model_best.pth", folder / "model.onnx"
    result = run_tool("export_onnx.py", "--weights", weights, "--output", output, seconds=300)
    assert result.status == 0, result.describe()
    return folder


def hash_of(folder):
    return hashlib.sha256((folder / "model_best.pth").read_bytes()).hexdigest()


def config_of(folder):
    return hash_detector_config(load_config(str(folder / "config.yaml")))


def predict(folder, output, *options):
    result = run_tool(
        "predict.py", folder / "images", *options, "--output", output, "--nms-iou", "none"
    )
    assert result.status == 0, result.describe()
    assert "2 of 2 images" in result.output
    return json.loads((output / "detections.json").read_text())


def test_detections_are_those_of_the_checkpoint(folder, tmp_path):
    options = ("--model", folder / "model.onnx")
    found = predict(folder, tmp_path / "by_file", *options, "--no-overlays")
    expected = predict(
        folder, tmp_path / "by_checkpoint", "--checkpoint", folder / "model_best.pth"
    )
    for name in ("171.png", "120.png"):
        scores, others = (
            [x["score"] for x in detections if x["file_name"].endswith(name)]
            for detections in (found, expected)
        )
        assert len(scores) == len(others) > 10
        np.testing.assert_allclose(scores, others, atol=1e-4)
    assert {x["category_name"] for x in found} == {x["category_name"] for x in expected}
    best, other = found[0], expected[0]
    np.testing.assert_allclose(best["bbox"], other["bbox"], atol=0.05)


def test_calibration_of_the_weights_serves_the_exported_file(folder, tmp_path):
    file = write_calibration(
        tmp_path / "calibration.json", hash_of(folder), nms_iou=None, config=config_of(folder)
    )
    options = ("--model", folder / "model.onnx", "--operating-point", "0.3")
    found = predict(folder, tmp_path / "out", *options, "--calibration", file, "--no-overlays")
    for each in found:
        assert each["probability"] == pytest.approx(each["score"], abs=1e-9)  # logistic of logits
    for weights, config, words in (
        ("0" * 64, config_of(folder), "is the calibration of other weights"),
        (hash_of(folder), "0" * 16, "was made with another config of these weights"),
    ):
        write_calibration(file, weights, nms_iou=None, config=config)
        result = run_tool(
            *("predict.py", folder / "images", *options, "--calibration", file),
            *("--nms-iou", "none", "--output", tmp_path / "other"),
        )
        assert_refused(result, words)


def test_own_set_is_described_by_the_config_file(folder, coco_content, write_tree, tmp_path):
    json_file, image_root = write_tree(coco_content)
    config = tmp_path / "own.py"
    config.write_text(
        "from medmask.data import register_coco_dataset\n"
        f'register_coco_dataset("own_val", "{json_file}", "{image_root}", ["malignant"])\n'
    )
    command = ("predict.py", "--model", folder / "model.onnx", "--dataset", "own_val")
    options = ("--config-file", config, "--no-overlays", "--output", tmp_path / "out")
    result = run_tool(*command, *options)
    assert result.status == 0, result.describe()
    found = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert {(x["image_id"], x["category_id"]) for x in found} == {(1, 7), (2, 7), (3, 7)}
    assert_refused(run_tool(*command, "--output", tmp_path / "other"), "'own_val' is not")


def numbers_of(report):
    """(probability, score) of each finding of a report."""
    sr = pytest.importorskip("highdicom.sr", reason="DICOM results need the extra dicom-results")
    from pydicom.sr.codedict import codes

    content = sr.ComprehensiveSR.from_dataset(report).content
    return [
        (x.get_measurements(codes.DCM.CertaintyOfFinding)[0].value / 100,
         x.get_measurements(codes.SCT.Score)[0].value)
        for x in content.get_planar_roi_measurement_groups()
    ]  # fmt: skip


def check_probabilities(numbers):
    """They are those of a logistic calibration of slope 0.5."""
    assert len(numbers) > 3
    probabilities, scores = np.array(numbers).T
    odds = np.sqrt(scores / (1 - scores))
    np.testing.assert_allclose(probabilities, odds / (1 + odds), rtol=1e-6)


@pytest.fixture
def at_operating_point(folder, tmp_path):
    """Options of a command that scores by the exported file, with probabilities."""
    file = tmp_path / "calibration.json"
    write_calibration(file, hash_of(folder), config=config_of(folder), slope=0.5, threshold=0.0)
    return (
        *("--model", folder / "model.onnx", "--operating-point", "0.3", "--calibration", file),
        *("--objects", "report"),
    )


def test_studies_of_an_archive(archive, dated_studies, at_operating_point, tmp_path):
    archive.add_files(dated_studies)
    result = run_tool(
        *("pacs.py", "--url", archive.url, "--study-date", "20260101", "--store"),
        *("--output", tmp_path / "out", *at_operating_point),
        seconds=600,
    )
    assert result.status == 0, result.describe()
    assert "1 study: 1 stored (0 done before); 4 images scored, 1 object:" in result.output
    assert "calibrated on a set" in result.output
    (report,) = archive.of_modality("SR").values()
    check_probabilities(numbers_of(pydicom.dcmread(io.BytesIO(report.content))))


def test_studies_that_a_node_receives(dated_studies, at_operating_point, tmp_path):
    pytest.importorskip("pynetdicom", reason="a DICOM node needs the extra node")
    pytest.importorskip("highdicom", reason="DICOM results need the extra dicom-results")
    from dicom_peers import Client, RecordingDestination
    from node_process import NodeProcess

    with RecordingDestination() as destination:
        options = ("--quiet-seconds", "2", *at_operating_point)
        with NodeProcess(tmp_path, destination.port, *options) as node:
            node.start()
            node.wait_until_listening()
            assert Client(node.port).send(dated_studies[:2]) == [0, 0]
            destination.wait_for(1)
            assert "calibrated on a set" in node.log()
    (report,) = destination.objects.values()
    check_probabilities(numbers_of(report))


@pytest.mark.parametrize("tool", ["predict.py", "pacs.py", "dicom_node.py"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "nowhere.onnx"], "model nowhere.onnx does not exist"),
        (["--model", "config.yaml"], "model config.yaml cannot be loaded by ONNX Runtime"),
        (
            ["--model", "model.onnx", "--config-file", "config.yaml"],
            "no --config-file without --dataset",
        ),
        (["--model", "model.onnx", "--device", "cuda"], "--model runs on the CPU"),
        (["--model", "model.onnx", "--checkpoint", "model_best.pth"], "not allowed with"),
    ],
    ids=["missing", "no-graph", "config", "device", "both"],
)
def test_what_cannot_be_is_refused(folder, tmp_path, tool, options, words):
    out = tmp_path / "out"
    what = {
        "predict.py": ("images", "--output", out),
        "pacs.py": ("--url", "http://127.0.0.1:9/x", "--study-uid", "1.2", "--output", out),
        "dicom_node.py": ("--spool", out, "--destination", "PACS@127.0.0.1:9"),
    }[tool]
    result = run_tool(tool, *what, *options, folder=folder)
    assert_refused(result, words)
    assert not (tmp_path / "out").exists()
