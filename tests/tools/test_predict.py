"""Prediction on files, and the pictures, as a user runs them."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from isolation import assert_refused, run_tool

from medmask.config import load_config
from medmask.errors import InputError
from medmask.images import read_image
from medmask.inference import MedMaskPredictor
from medmask.phantom import PhantomParameters, make_phantom_dataset

ROOT = Path(__file__).parents[2]
CASES = ROOT / ".." / "shared" / "cases"
CONFIG = ROOT / "configs" / "medmask" / "phantom" / "source_only.py"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """What a training run leaves: config.yaml and weights (fresh ones)."""
    folder = tmp_path_factory.mktemp("run")
    config = load_config(str(CONFIG))
    torch.manual_seed(0)
    torch.save({"model": instantiate(config.model).state_dict()}, folder / "model_best.pth")
    LazyConfig.save(config, str(folder / "config.yaml"))
    return folder


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets")
    for file_format in ("png8", "dicom"):
        make_phantom_dataset(
            root / file_format / "phantom",
            PhantomParameters(width=96, height=128, positive_fraction=0.9),
            split_sizes={"val": 4},
            domains=["film"],
            file_format=file_format,
        )
    return root


@pytest.fixture(scope="module")
def predictor(run_folder):
    return MedMaskPredictor(
        str(run_folder / "config.yaml"),
        str(run_folder / "model_best.pth"),
        overrides=["train.device=cpu"],
    )


def images_of(phantoms, file_format):
    return sorted((phantoms / file_format / "phantom" / "film" / "images" / "val").iterdir())


def test_path_array_and_batch_give_the_same_detections(predictor, phantoms):
    paths = images_of(phantoms, "png8")
    alone = predictor(paths[0])["instances"]
    assert alone.image_size == (128, 96)
    assert alone.scores.tolist() == sorted(alone.scores.tolist(), reverse=True)
    from_array = predictor(read_image(paths[0]))["instances"]
    assert torch.equal(alone.scores, from_array.scores)
    gray = predictor(read_image(paths[0])[:, :, 0])["instances"]
    assert torch.equal(alone.scores, gray.scores)
    batch = predictor([str(path) for path in paths])
    assert len(batch) == 4
    torch.testing.assert_close(batch[0]["instances"].scores, alone.scores, rtol=1e-3, atol=1e-4)


def test_images_of_other_sizes_in_a_batch_change_nothing(predictor, phantoms):
    images = [read_image(path) for path in images_of(phantoms, "png8")[:2]]
    wide = np.pad(images[0], ((0, 0), (0, 70), (0, 0)))
    together = [x["instances"] for x in predictor([wide, *images])]
    assert [x.image_size for x in together] == [(128, 166), (128, 96), (128, 96)]
    for image, detections in zip([wide, *images], together, strict=True):
        alone = predictor(image)["instances"]
        torch.testing.assert_close(detections.scores, alone.scores, rtol=1e-4, atol=1e-5)


def test_deep_values_are_stretched_to_the_range_of_the_model(predictor, phantoms):
    image = read_image(images_of(phantoms, "dicom")[0])
    as_stored = np.round(image[:, :, 0] / 255 * 4095).astype(np.uint16)
    expected = predictor(image)["instances"].scores
    torch.testing.assert_close(
        predictor(as_stored)["instances"].scores, expected, rtol=1e-2, atol=1e-3
    )


def test_array_of_another_shape_is_refused(predictor):
    with pytest.raises(InputError, match=r"shape \(5, 4, 2\)"):
        predictor(np.zeros((5, 4, 2), np.uint8))


def test_tool_writes_pictures_and_json_and_survives_a_bad_file(run_folder, phantoms, tmp_path):
    good = images_of(phantoms, "png8")[0]
    cut = tmp_path / "in" / "cut.png"
    cut.parent.mkdir()
    cut.write_bytes(good.read_bytes()[:500])
    output = tmp_path / "out"
    result = run_tool(
        "predict.py",
        *(cut, good, phantoms / "dicom" / "phantom" / "film" / "images"),
        *("--output", output, "--checkpoint", run_folder / "model_best.pth", "--device", "cpu"),
        *("--score-threshold", 0),
    )
    assert result.status == 1, result.errors
    assert "cut.png cannot be read" in result.errors
    assert "5 of 6 images" in result.output
    assert "Traceback" not in result.errors

    detections = json.loads((output / "detections.json").read_text())
    assert {d["image_id"] for d in detections} == {None}
    assert len({d["file_name"] for d in detections}) == 5
    assert {d["category_name"] for d in detections} == {"malignant"}
    for x, y, width, height in (d["bbox"] for d in detections):
        assert 0 <= x <= x + width <= 96.001
        assert 0 <= y <= y + height <= 128.001
    overlays = sorted((output / "overlays").iterdir())
    assert len(overlays) == 5
    overlay = cv2.imread(str(overlays[0]))
    assert min(overlay.shape[:2]) == 600
    # detections are drawn in color on a gray image
    assert np.ptp(overlay, axis=2).max() > 50


def test_image_of_one_row_costs_nothing(run_folder, phantoms, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(images_of(phantoms, "png8")[0], folder / "a.png")
    cv2.imwrite(str(folder / "b.png"), np.arange(5000, dtype=np.uint16).reshape(1, 5000))
    check_all_predicted(run_folder, folder, tmp_path / "out")


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
def test_one_odd_image_of_many(run_folder, tmp_path):
    check_all_predicted(run_folder, CASES / "folders" / "one_bad_of_many", tmp_path / "out")


def check_all_predicted(run_folder, folder, output):
    options = ("--output", output, "--checkpoint", run_folder / "model_best.pth")
    result = run_tool("predict.py", folder, *options, "--device", "cpu")
    assert result.status == 0, result.describe()
    assert "2 of 2 images" in result.output
    for picture in (output / "overlays").iterdir():
        assert max(cv2.imread(str(picture)).shape) <= 2000


def test_frames_of_a_file(run_folder, phantoms, tmp_path):
    dataset = pydicom.dcmread(images_of(phantoms, "dicom")[0])
    dataset.NumberOfFrames = 2
    dataset.PixelData *= 2
    file = tmp_path / "scan.dcm"
    dataset.save_as(file)
    for number, (arguments, status, names) in enumerate(
        [
            ([file], 1, set()),
            ([file, "--frame", "1"], 0, {f"{file}#1"}),
            ([f"{file}#0"], 0, {f"{file}#0"}),
            ([file, "--frame", "all"], 0, {f"{file}#0", f"{file}#1"}),
            ([file, "--frame", "2"], 1, set()),
            ([file, "--frame", "-1"], 2, None),
        ]
    ):
        output = tmp_path / str(number)
        options = ("--output", output, "--checkpoint", run_folder / "model_best.pth")
        result = run_tool("predict.py", *arguments, *options, "--device", "cpu")
        assert result.status == status, result.describe()
        if names is not None:
            detections = json.loads((output / "detections.json").read_text())
            assert {d["file_name"] for d in detections} == names
            assert len(list(tmp_path.glob(f"{number}/overlays/*"))) == len(names)


def test_pictures_in_the_folder_of_the_images_are_no_images(run_folder, phantoms, tmp_path):
    shutil.copy(images_of(phantoms, "png8")[0], tmp_path / "a.png")
    options = ("--checkpoint", run_folder / "model_best.pth", "--device", "cpu")
    for output, before in (("out", 0), ("out", 1), ("other", 0)):
        result = run_tool("predict.py", tmp_path, "--output", tmp_path / output, *options)
        assert f"1 of 1 image ({before} done before" in result.output, result.describe()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--output", "file"], "file exists"),
        (["--output", "file/below"], "not a directory"),
        (["--output", ""], "the name is empty"),
        (["--output", "out", "--score-threshold", "nan"], "score threshold must be in [0, 1]"),
        (["--output", "out", "--nms-iou", "1.5"], "IoU of the suppression must be in [0, 1]"),
        (["--output", "out", "--nms-iou", "x"], "neither a number nor 'none'"),
        (["--output", "out", "--frame", "x"], "neither a number nor 'all'"),
        (["--output", "out", "--device", "tpu"], "--device is 'tpu', but must be auto, cpu, cuda"),
        (["--output", "out", "--config-file", "file"], "config file file"),
        (["--output", "out", "--dataset", "phantom_film_val"], "either images"),
        (["--output", "out", "--merge"], "leave out --checkpoint, images"),
    ],
)
def test_options_that_cannot_be_are_refused(run_folder, phantoms, tmp_path, options, words):
    (tmp_path / "file").touch()
    image = images_of(phantoms, "png8")[0]
    checkpoint = ("--checkpoint", run_folder / "model_best.pth")
    result = run_tool("predict.py", image, *checkpoint, *options, folder=tmp_path)
    assert_refused(result, words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.png"], "input nowhere.png does not exist"),
        ([str(ROOT / "README.md"), "--checkpoint", "nowhere.pth"], "nowhere.pth does not exist"),
    ],
)
def test_tool_names_what_is_missing(run_folder, tmp_path, arguments, words):
    checkpoint = (
        [] if "--checkpoint" in arguments else ["--checkpoint", run_folder / "model_best.pth"]
    )
    result = run_tool("predict.py", *arguments, "--output", tmp_path, *checkpoint)
    assert result.status == 2
    assert words in result.errors
    assert "Traceback" not in result.errors


def test_results_of_an_evaluation_are_drawn_over_the_lesions(phantoms, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(phantoms / "png8"))
    annotations = phantoms / "png8" / "phantom" / "film" / "annotations" / "instances_val.json"
    content = json.loads(annotations.read_text())
    lesion = content["annotations"][0]
    detection = {"image_id": lesion["image_id"], "category_id": 1, "bbox": lesion["bbox"]}
    detections = tmp_path / "detections.json"
    detections.write_text(json.dumps([detection | {"score": 0.9}, detection | {"score": 0.1}]))
    result = run_tool(
        "visualize_results.py",
        *("--dataset", "phantom_film_val", "--detections", detections),
        *("--output", tmp_path / "pictures", "--num-images", 2),
    )
    assert result.status == 0, result.errors
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert len(pictures) == 2
    file_name = next(i["file_name"] for i in content["images"] if i["id"] == lesion["image_id"])
    picture = cv2.imread(str(tmp_path / "pictures" / f"{Path(file_name).stem}.png")).astype(int)
    # a lesion's dashed outline is green: channels are BGR
    assert ((picture[:, :, 1] - picture[:, :, 2] > 80) & (picture[:, :, 1] > 150)).sum() > 100


def test_cropped_windowed_and_resampled_predictions_are_those_of_the_evaluation(phantoms, tmp_path):
    """The tool, the predictor on paths, and the mapper of the test loader see the same of DICOM."""
    options = ("breast_crop=True", "breast_window=True", "pixel_spacing_mm=0.8")
    overrides = [f"dataloader.test.mapper.augmentation.{option}" for option in options]
    config = load_config(str(CONFIG), ["train.device=cpu", *overrides])
    torch.manual_seed(0)
    weights = tmp_path / "model_best.pth"
    torch.save({"model": instantiate(config.model).state_dict()}, weights)
    LazyConfig.save(config, str(tmp_path / "config.yaml"))
    folder = phantoms / "dicom" / "phantom" / "film" / "images"
    arguments = ("--output", tmp_path / "out", "--checkpoint", weights, "--device", "cpu")
    result = run_tool("predict.py", folder, *arguments)
    assert result.status == 0, result.errors
    detections = json.loads((tmp_path / "out" / "detections.json").read_text())

    predictor = MedMaskPredictor(tmp_path / "config.yaml", weights, ["train.device=cpu"])
    everything = MedMaskPredictor(
        tmp_path / "config.yaml", weights, ["train.device=cpu"], nms_iou=None
    )
    mapper = instantiate(config.dataloader.test.mapper)
    for path in images_of(phantoms, "dicom"):
        of_path = predictor(path)["instances"]
        written = [d["score"] for d in detections if Path(d["file_name"]).name == path.name]
        np.testing.assert_allclose(written, of_path.scores, rtol=1e-5)
        sample = mapper({"file_name": str(path), "image_id": 1, "height": 128, "width": 96})
        x0, y0, x1, y1 = sample["original_corners"]
        assert (x1 - x0) * (y1 - y0) < 0.9 * 128 * 96
        spacing = float(pydicom.dcmread(path).ImagerPixelSpacing[0])
        assert sample["image"].shape[1] == round((y1 - y0) * spacing / 0.8)
        with torch.no_grad():
            evaluated = everything.model([sample])[0]["instances"]
        torch.testing.assert_close(evaluated.scores, everything(path)["instances"].scores)
