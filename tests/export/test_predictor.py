"""Prediction by an exported file gives what the checkpoint gives."""

import os

import numpy as np
import pytest
import torch
from painted_mammograms import paint_mammogram

from medmask.config import load_config
from medmask.errors import InputError
from medmask.export import OnnxPredictor
from medmask.export.session import GraphSession
from medmask.images import to_rgb
from medmask.inference import MedMaskPredictor
from medmask.inference.config_identity import hash_detector_config

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="session")
def predictor(exported):
    return OnnxPredictor(exported.file)


@pytest.fixture(scope="session")
def by_pytorch(exported):
    return MedMaskPredictor(exported.config_file, exported.weights, ["train.device=cpu"])


def without_slivers(instances):
    """Clipping leaves nothing of some boxes, or a sliver, as rounding has it."""
    return instances[instances.pred_boxes.nonempty(threshold=0.01)]


def assert_alike(found, expected):
    assert found.image_size == expected.image_size
    found, expected = without_slivers(found), without_slivers(expected)
    assert len(found) == len(expected) > 0
    torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-4)
    gaps = torch.cat((torch.tensor([2.0]), expected.scores, torch.tensor([-1.0]))).diff().abs()
    clear = (gaps[:-1] > 1e-4) & (gaps[1:] > 1e-4)
    assert clear.any()
    side = max(found.image_size)
    torch.testing.assert_close(
        found.pred_boxes.tensor[clear] / side,
        expected.pred_boxes.tensor[clear] / side,
        rtol=0,
        atol=1e-4,
    )
    assert torch.equal(found.pred_classes[clear], expected.pred_classes[clear])


def test_detections_of_images_are_those_of_the_checkpoint(predictor, by_pytorch):
    first, _ = paint_mammogram(171, 133, artifacts=False)
    images = [first, first[:, :100], first]
    together = predictor(images)
    assert len(together) == 3
    for image, found in zip(images, together, strict=True):
        assert_alike(found["instances"], by_pytorch(image)["instances"])


def test_images_of_several_sizes_can_share_a_batch(predictor, by_pytorch):
    first, _ = paint_mammogram(171, 133, artifacts=False)
    inputs = [predictor.reader.prepare(to_rgb(x)) for x in (first, first[:, :100])]
    for sample, found in zip(inputs, predictor.detect(inputs), strict=True):
        assert found.image_size == (sample["height"], sample["width"])
    expected = by_pytorch.detect(inputs)
    for found, other in zip(predictor.detect(inputs), expected, strict=True):
        assert_alike(found, other)


def test_model_suppresses_overlaps_as_in_pytorch(exported):
    image, _ = paint_mammogram(171, 133, artifacts=False)
    files, settings = (exported.config_file, exported.weights), ["train.device=cpu"]
    by_pytorch = MedMaskPredictor(*files, settings, nms_iou=None)
    predictor = OnnxPredictor(exported.file, nms_iou=None)
    assert predictor.export.nms_iou == by_pytorch.model.nms_iou
    found = predictor(image)["instances"]
    assert_alike(found, by_pytorch(image)["instances"])
    assert (len(found) < predictor.export.max_detections) == (predictor.export.nms_iou is not None)


def test_labels_are_those_of_the_checkpoint(predictor, by_pytorch):
    assert predictor.labels == by_pytorch.labels
    assert predictor.metadata.thing_classes == by_pytorch.metadata.thing_classes


def test_settings_name_the_file_and_what_the_checkpoint_names(predictor, by_pytorch):
    settings = predictor.settings()
    assert settings.pop("model") != settings["weights"]
    assert settings == by_pytorch.settings()


def test_config_of_other_preprocessing_or_suppression_is_another(exported):
    for change in (
        "dataloader.test.mapper.augmentation.short_edge_length=95",
        "dataloader.test.mapper.augmentation.breast_window=True",
        "model.nms_iou=0.4",
        "train.amp.enabled=True",
    ):
        config = load_config(str(exported.config_file), [change])
        assert hash_detector_config(config) != exported.summary.metadata.config


def test_threads_can_be_set(predictor, exported):
    content = exported.file.read_bytes()
    before = len(os.listdir("/proc/self/task"))
    alone = GraphSession(content, "x", 1)
    assert len(os.listdir("/proc/self/task")) == before
    four = GraphSession(content, "x", 4)
    assert len(os.listdir("/proc/self/task")) == before + 3  # beside the one that calls
    assert alone.properties == four.properties
    image, _ = paint_mammogram(171, 133, artifacts=False)
    found = OnnxPredictor(exported.file, num_threads=2)(image)["instances"]
    assert_alike(found, predictor(image)["instances"])


def test_output_that_is_not_finite_is_refused(predictor):
    inputs = [predictor.reader.prepare(np.full((40, 40, 3), 100, np.float32))]
    inputs[0]["image"] = inputs[0]["image"] * torch.nan
    with pytest.raises(InputError, match=r"model\.onnx predicted .* not finite"):
        predictor.detect(inputs)


def test_file_that_is_missing_or_no_graph_is_refused(tmp_path):
    file = tmp_path / "x.onnx"
    with pytest.raises(InputError, match=r"x\.onnx does not exist"):
        OnnxPredictor(file)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"x\.onnx cannot be loaded by ONNX Runtime"):
        OnnxPredictor(file)


def test_graph_of_others_is_refused(tmp_path, exported):
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [value], [other]),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=8,
    )
    file = tmp_path / "x.onnx"
    onnx.save(model, file)
    with pytest.raises(InputError, match="takes x and gives y, so it is no file of"):
        OnnxPredictor(file)
    model = onnx.load(exported.file)
    del model.metadata_props[:]
    onnx.save(model, file)
    with pytest.raises(InputError, match=r"lacks the property medmask\.format"):
        OnnxPredictor(file)
