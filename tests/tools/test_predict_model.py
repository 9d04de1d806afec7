"""Prediction by an exported file, as a user runs it."""

import hashlib
import json

import cv2
import numpy as np
import pytest
from fresh_runs import write_fresh_run
from isolation import assert_refused, run_tool
from painted_mammograms import paint_mammogram

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
    calibrator = {"method": "logistic", "slope": 1.0, "intercept": 0.0}
    weights = hashlib.sha256((folder / "model_best.pth").read_bytes()).hexdigest()
    calibration = {
        "format": "medmask calibration",
        "version": 1,
        "source": {"weights_sha256": weights, "config": "its", "data_name": "a set"},
        "settings": {"nms_iou": None},
        "detections": {"calibrator": calibrator},
        "images": {"calibrator": calibrator},
        "operating_points": [{"fpi": 0.3, "threshold": 0.25}],
    }
    file = tmp_path / "calibration.json"
    file.write_text(json.dumps(calibration))
    options = ("--model", folder / "model.onnx", "--operating-point", "0.3")
    found = predict(folder, tmp_path / "out", *options, "--calibration", file, "--no-overlays")
    for each in found:
        assert each["probability"] == pytest.approx(each["score"], abs=1e-9)  # logistic of logits
    calibration["source"]["weights_sha256"] = "0" * 64
    file.write_text(json.dumps(calibration))
    result = run_tool(
        *("predict.py", folder / "images", *options, "--calibration", file),
        *("--nms-iou", "none", "--output", tmp_path / "other"),
    )
    assert_refused(result, "is the calibration of other weights")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "nowhere.onnx"], "model nowhere.onnx does not exist"),
        (["--model", "config.yaml"], "model config.yaml cannot be loaded by ONNX Runtime"),
        (["--model", "model.onnx", "--config-file", "config.yaml"], "--model needs no --config"),
        (["--model", "model.onnx", "--device", "cuda"], "--model runs on the CPU"),
        (["--model", "model.onnx", "--checkpoint", "model_best.pth"], "not allowed with"),
    ],
    ids=["missing", "no-graph", "config", "device", "both"],
)
def test_what_cannot_be_is_refused(folder, tmp_path, options, words):
    result = run_tool("predict.py", "images", "--output", tmp_path / "out", *options, folder=folder)
    assert_refused(result, words)
    assert not (tmp_path / "out").exists()
