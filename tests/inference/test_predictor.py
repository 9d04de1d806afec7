"""The predictor on a small model with weights that nobody trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from detectron2.config import instantiate
from painted_mammograms import paint_mammogram
from PIL import Image

from medmask.config import load_config
from medmask.config.yaml_files import write_config_yaml
from medmask.data import register_coco_dataset
from medmask.data.breast import find_breast
from medmask.data.breast.preprocessing import MARGIN
from medmask.errors import InputError
from medmask.evaluation.structures import Detections
from medmask.evaluation.suppression import suppress_overlaps
from medmask.inference import MedMaskPredictor

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "medmask" / "phantom" / "source_only.py"


def write_run(folder, *overrides, change=None):
    """config.yaml and weights, fresh ones or changed."""
    config = load_config(str(CONFIG), ["train.device=cpu", *overrides])
    torch.manual_seed(0)
    weights = instantiate(config.model).state_dict()
    if change is not None:
        change(weights)
    torch.save({"model": weights}, folder / "model_final.pth")
    write_config_yaml(config, folder / "config.yaml")
    return folder


def load(folder, *overrides, **options):
    return MedMaskPredictor(
        folder / "config.yaml", folder / "model_final.pth", overrides, **options
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def predictor(run):
    return load(run)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 255, (64, 48), dtype=np.uint8)


def to_detections(instances):
    return Detections(
        instances.pred_boxes.tensor.double().numpy(),
        instances.scores.double().numpy(),
        np.zeros(len(instances), np.int64),
        instances.pred_classes.numpy(),
    )


def test_suppression_is_that_of_the_evaluation(run, predictor, image):
    everything = load(run, nms_iou=None)(image)["instances"]
    kept = predictor(image)["instances"]
    assert 0 < len(kept) < len(everything)
    expected = suppress_overlaps(to_detections(everything), 0.1)
    np.testing.assert_array_equal(to_detections(kept).boxes, expected.boxes)
    np.testing.assert_array_equal(to_detections(kept).scores, expected.scores)


@pytest.mark.parametrize("nms_iou", [-0.1, 1.1, float("nan")])
def test_suppression_out_of_range_is_refused(run, nms_iou):
    with pytest.raises(InputError, match="IoU of the suppression"):
        load(run, nms_iou=nms_iou)


def test_precision_is_that_of_the_evaluation(run, predictor, image):
    half = load(run, "train.amp.enabled=True")(image)["instances"].scores
    full = predictor(image)["instances"].scores
    assert half.dtype == full.dtype == torch.float32
    assert not torch.equal(half[:3], full[:3])
    torch.testing.assert_close(half[:3], full[:3], rtol=0.1, atol=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(
    ("size", "short_edge"),
    [(size, 192) for size in [(1, 1), (2, 2), (1, 5000), (5000, 1), (3000, 20), (1, 2), (7, 3)]]
    + [((1, 5000), 800), ((5000, 1), 800)],
)
def test_extreme_shapes_are_predicted_on(run, size, dtype, short_edge, tmp_path):
    predictor = load(run, f"dataloader.test.mapper.augmentation.short_edge_length={short_edge}")
    pixels = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
    instances = predictor(pixels.astype(dtype))["instances"]
    assert instances.image_size == size
    corners = instances.pred_boxes.tensor
    assert corners.isfinite().all()
    assert (corners >= 0).all()
    assert (corners <= torch.tensor([size[1], size[0]] * 2)).all()
    Image.fromarray(pixels).save(tmp_path / "image.png")
    predictor(tmp_path / "image.png")


def test_no_images_give_no_detections(predictor):
    assert predictor([]) == []


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (3, "type int"),
        (None, "type NoneType"),
        ([None], "type NoneType"),
        (torch.zeros(8, 8), "type Tensor"),
        ({"image": 3}, "does not exist"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\)"),
        (np.zeros((0, 4), np.uint8), r"shape \(0, 4\)"),
        (np.zeros(4, np.uint8), r"shape \(4,\)"),
        (np.zeros((), np.uint8), r"shape \(\)"),
        (np.zeros((4, 4), complex), "complex"),
        (np.full((4, 4), "a"), "<U1"),
        (np.full((4, 4), None), "object"),
        (np.zeros((4, 4), "datetime64[s]"), "datetime64"),
        (b"bytes", "type"),
    ],
)
def test_what_is_no_image_is_refused_with_a_sentence(predictor, image, words):
    with pytest.raises(InputError, match=words):
        predictor(image)


@pytest.mark.parametrize(
    "dtype", [bool, np.int8, np.uint16, np.int64, np.float16, np.float64, ">u2", ">f4"]
)
def test_numbers_of_any_type_are_predicted_on(predictor, image, dtype):
    assert len(predictor((image // 2).astype(dtype))["instances"])


def test_constant_and_missing_values_are_predicted_on(predictor):
    for value in (0.0, np.nan, np.inf):
        assert predictor(np.full((9, 9), value, np.float32))["instances"].scores.isfinite().all()


def test_model_that_gives_no_numbers_is_refused(run, image):
    predictor = load(run)
    with torch.no_grad():
        predictor.model.transformer.level_embedding.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        predictor(image)


def test_weights_that_are_not_there_are_refused(run):
    for path in ("", "nowhere.pth", run):
        with pytest.raises(InputError, match="does not exist"):
            MedMaskPredictor(run / "config.yaml", path)


def test_models_of_another_kind_are_refused(run, tmp_path):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["model"] = {"_target_": "detectron2.layers.FrozenBatchNorm2d", "num_features": 3}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match=r"config\.yaml is no MedMask detector, but FrozenBatch"):
        MedMaskPredictor(path, run / "model_final.pth")


def test_classes_of_config_and_model_must_agree(tmp_path):
    write_run(tmp_path, "model.transformer.num_classes=2")
    with pytest.raises(InputError, match=r"2 classes, but data set 'phantom_film_val' .* has 1"):
        load(tmp_path)


def test_data_set_that_is_not_at_hand_leaves_the_ids_open(
    run, image, monkeypatch, tmp_path, caplog
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert load(run).labels.names == ("malignant",)
    assert load(run).labels.category_ids == (None,)
    unknown = load(run, "dataloader.test.dataset=registered_elsewhere")
    assert unknown.labels.names == ("class 0",)
    assert "registered_elsewhere of the config is not registered here" in caplog.text
    assert len(unknown(image)["instances"])


def test_data_set_without_its_file_calls_classes_by_number(run, tmp_path):
    register_coco_dataset("without_file", tmp_path / "nowhere.json", tmp_path)
    assert load(run, "dataloader.test.dataset=without_file").labels.names == ("class 0",)


def test_category_ids_are_those_of_the_annotation_file(run, tmp_path):
    (tmp_path / "file.json").write_text(
        '{"images": [{"id": 1, "file_name": "1.png", "width": 5, "height": 5}], "annotations": [], '
        '"categories": [{"id": 4, "name": "benign"}, {"id": 9, "name": "malignant"}]}'
    )
    register_coco_dataset("ids_of_its_own", tmp_path / "file.json", tmp_path, ["malignant"])
    labels = load(run, "dataloader.test.dataset=ids_of_its_own").labels
    assert labels.category_ids == (9,)
    assert load(run, "dataloader.test.dataset=[ids_of_its_own]").labels == labels


def test_device_that_does_not_exist_is_refused(run):
    for device in ("tpu", "''"):
        with pytest.raises(InputError, match=r"train\.device"):
            load(run, f"train.device={device}")


def test_cropped_prediction_is_that_of_the_crop_moved(run):
    """In pixels of the whole image, against a predictor that is given the crop itself."""
    pixels, _ = paint_mammogram(171, 133, artifacts=False)
    x0, y0, x1, y1 = find_breast(pixels).box
    margin = round(MARGIN * max(x1 - x0, y1 - y0))
    x0, y0, x1, y1 = max(x0 - margin, 0), y0 - margin, x1 + margin, y1 + margin
    size = "dataloader.test.mapper.augmentation.short_edge_length=64"
    crop = "dataloader.test.mapper.augmentation.breast_crop=True"
    moved = load(run, size, crop, nms_iou=None)(pixels)["instances"]
    expected = load(run, size, nms_iou=None)(pixels[y0:y1, x0:x1])["instances"]
    assert moved.image_size == pixels.shape
    assert len(moved) == len(expected) > 10
    offset = torch.tensor([x0, y0, x0, y0])
    assert offset.any()
    torch.testing.assert_close(
        moved.pred_boxes.tensor, expected.pred_boxes.tensor + offset, rtol=1e-6, atol=1e-3
    )
    torch.testing.assert_close(moved.scores, expected.scores, rtol=0, atol=0)


def test_spacing_of_a_dicom_file_or_of_the_call_decides_the_size(run, write_dicom, tmp_path):
    """All images are brought to the 64 x 48 pixels that another predictor is given."""
    pixels = np.random.default_rng(0).integers(0, 4096, (32, 24), dtype=np.uint16)
    key = "dataloader.test.mapper.augmentation.pixel_spacing_mm=0.1"
    size = "dataloader.test.mapper.augmentation.short_edge_length=48"
    expected = load(run, size)(pixels)["instances"]
    by_spacing = load(run, key, "dataloader.test.mapper.augmentation.short_edge_length=96")
    of_file = by_spacing(write_dicom(pixels, BitsStored=12, ImagerPixelSpacing=[0.2, 0.2]))
    of_call = by_spacing(pixels, pixel_spacing_mm=(0.2, 0.2))
    for instances in (of_file["instances"], of_call["instances"]):
        torch.testing.assert_close(instances.scores, expected.scores)
        torch.testing.assert_close(instances.pred_boxes.tensor, expected.pred_boxes.tensor)
    unknown = by_spacing(pixels)["instances"]
    assert len(unknown) != len(expected) or not torch.equal(unknown.scores, expected.scores)
