"""Exports of small models, and those that are refused."""

import hashlib

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall, instantiate

from medmask.checkpoint import MedMaskCheckpointer
from medmask.config import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.data import build_train_augmentation
from medmask.errors import InputError
from medmask.export import export_onnx, tracing
from medmask.export.metadata import ExportMetadata
from medmask.export.session import GraphSession
from medmask.modeling.postprocessing import select_detections

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

FORBIDDEN = {"GridSample", "Loop", "If", "Scan"}


@pytest.fixture(scope="session")
def session(exported):
    return GraphSession(exported.file.read_bytes(), str(exported.file))


@pytest.fixture(scope="session")
def model(exported):
    model = instantiate(load_config(str(exported.config_file)).model).eval()
    MedMaskCheckpointer(model).load_for_inference(str(exported.weights))
    return model


def detect_by_pytorch(model, images):
    """With the boxes of which clipping leaves nothing, which only rounding may tell from others."""
    with torch.no_grad():
        batch = model.preprocess_image([{"image": torch.tensor(x)} for x in images])
        output = model.detect(batch).decoder
    logits, boxes = output.logits[-1], output.boxes[-1]
    return select_detections(logits, boxes, batch.image_sizes, model.max_detections)


@pytest.mark.parametrize(
    "sizes",
    [[(97, 65)], [(64, 64), (51, 40)], [(40, 160)], [(1, 1)], [(200, 32), (32, 100), (77, 78)]],
    ids=["odd", "two", "wide", "one-pixel", "three"],
)
def test_detections_are_those_of_pytorch(session, model, sizes):
    """By scores alone, whose order is the same, and by the boxes where no score is near."""
    generator = np.random.default_rng(len(sizes))
    images = [generator.uniform(0, 255, (3, *size)).astype(np.float32) for size in sizes]
    padded = np.full((len(sizes), 3, *np.max(sizes, axis=0)), 99, np.float32)
    for place, image in zip(padded, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    boxes, scores, classes = session(padded, np.array(sizes))
    assert boxes.shape == (*scores.shape, 4)
    compared = 0
    for i, expected in enumerate(detect_by_pytorch(model, images)):
        np.testing.assert_allclose(scores[i], expected.scores, atol=1e-4)
        gaps = np.diff(scores[i], prepend=2, append=-1)
        clear = (np.abs(gaps[:-1]) > 1e-4) & (np.abs(gaps[1:]) > 1e-4)
        sides = np.tile(np.array(sizes[i])[::-1], 2)
        wanted = expected.pred_boxes.tensor.numpy()[clear] / sides
        np.testing.assert_allclose(boxes[i][clear] / sides, wanted, atol=1e-4)
        np.testing.assert_array_equal(classes[i][clear], expected.pred_classes[clear])
        compared += clear.sum()
    assert compared >= min(5, scores.shape[1])


def test_graph_needs_no_operator_of_its_own_and_no_grid_sample(exported):
    graph = onnx.load(exported.file)
    assert {node.domain for node in graph.graph.node} == {""}
    assert not FORBIDDEN & {node.op_type for node in graph.graph.node}
    images, sizes = graph.graph.input
    dimensions = [d.dim_param or d.dim_value for d in images.type.tensor_type.shape.dim]
    assert dimensions == ["images", 3, "height", "width"]
    assert (images.name, sizes.name) == ("images", "sizes")


def test_file_says_what_it_is(exported, session):
    metadata = ExportMetadata.from_properties(session.properties, "it")
    assert metadata == exported.summary.metadata
    assert metadata.weights_sha256 == hashlib.sha256(exported.weights.read_bytes()).hexdigest()
    assert metadata.pixel_mean == metadata.pixel_std == [60.0, 60.0, 60.0]
    assert metadata.test_augmentation == {
        "short_edge_length": 96,
        "max_size": 1333,
        "breast_crop": False,
        "breast_window": False,
        "pixel_spacing_mm": None,
    }
    assert metadata.versions.keys() == {"medmask", "torch", "onnx", "onnxruntime"}
    assert 0 < metadata.parity["greatest_difference"] <= metadata.parity["tolerance"] == 1e-4
    assert exported.summary.bytes == exported.file.stat().st_size
    assert any("tracing" in line for line in exported.lines)


def test_prediction_that_is_not_finite_makes_every_score_so(session):
    image = np.full((2, 3, 40, 40), 100, np.float32)
    image[1] = np.nan
    _, scores, _ = session(image, np.array([(40, 40)] * 2))
    assert np.isfinite(scores[0]).all()
    assert np.isnan(scores[1]).all()


def test_graph_that_computes_something_else_is_not_written(make_run, tmp_path, monkeypatch):
    """Half a pixel off, as with the other convention of aligned corners."""
    graph = tracing.DetectorGraph

    class Shifted(graph):
        def forward(self, images, sizes):
            boxes, scores, classes = super().forward(images, sizes)
            return boxes + 0.5, scores, classes

    monkeypatch.setattr(tracing, "DetectorGraph", Shifted)
    run = make_run(tmp_path)
    output = tmp_path / "out" / "model.onnx"
    with pytest.raises(InputError, match=r"batch of 1 \(97 x 65 pixels\) .* so nothing is written"):
        export_onnx(run / "config.yaml", run / "model_final.pth", output)
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize(
    ("weights", "output", "words"),
    [
        ("nowhere.pth", "model.onnx", r"weights .*nowhere\.pth do not exist"),
        ("model_final.pth", "model.pb", r"model\.pb must end in \.onnx"),
        ("config.yaml", "model.onnx", r"config\.yaml"),
    ],
    ids=["missing", "suffix", "no-weights"],
)
def test_files_that_cannot_be_are_refused(make_run, tmp_path, weights, output, words):
    run = make_run(tmp_path)
    with pytest.raises(InputError, match=words):
        export_onnx(run / "config.yaml", run / weights, run / output)
    assert not (run / output).exists()


@pytest.mark.parametrize("output", ["file/model.onnx", "folder.onnx"])
def test_output_that_cannot_be_written_is_refused_before_the_work(make_run, tmp_path, output):
    run = make_run(tmp_path)
    (run / "file").touch()
    (run / "folder.onnx").mkdir()
    lines = []
    with pytest.raises(OSError, match=r"file|folder"):
        export_onnx(run / "config.yaml", run / "model_final.pth", run / output, report=lines.append)
    assert not lines


def test_weights_of_another_model_are_refused(make_run, tmp_path):
    run = make_run(tmp_path)
    with pytest.raises(InputError, match=r"does not fill the model"):
        export_onnx(
            run / "config.yaml",
            run / "model_final.pth",
            run / "model.onnx",
            ["model.transformer.num_queries=31", "model.transformer.embed_dim=96"],
        )


def test_preprocessing_that_a_file_cannot_keep_is_refused(make_run, tmp_path):
    run = make_run(tmp_path)
    config = load_config(str(run / "config.yaml"))
    config.dataloader.test.mapper.augmentation = LazyCall(build_train_augmentation)()
    write_config_yaml(config, run / "other.yaml")
    with pytest.raises(InputError, match=r"mapper\.augmentation is not build_test_augmentation"):
        export_onnx(run / "other.yaml", run / "model_final.pth", run / "model.onnx")
