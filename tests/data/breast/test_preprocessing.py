import cv2
import detectron2.data.transforms as T
import numpy as np
import pytest
from painted_mammograms import paint_mammogram

from medmask.converters.contract import SourceImage
from medmask.converters.pixels import read_pixels
from medmask.data import DetectionMapper, build_test_augmentation, build_train_augmentation
from medmask.data.breast import BreastPreprocessing, find_breast, sets_window
from medmask.data.mapper import augment_image
from medmask.data.sample_stream import seeded
from medmask.errors import InputError
from medmask.images import read_image


def _rgb(image):
    return np.repeat(image[..., None], 3, axis=2)


@pytest.mark.parametrize("side", ["left", "right"])
def test_crop_is_the_breast_and_its_margin(side):
    image, _ = paint_mammogram(400, 300, side=side)
    x0, y0, x1, y1 = find_breast(image).box
    margin = round(0.1 * max(x1 - x0, y1 - y0))
    expected = image[
        max(y0 - margin, 0) : min(y1 + margin, 400), max(x0 - margin, 0) : min(x1 + margin, 300)
    ]
    result = augment_image(_rgb(image), BreastPreprocessing(crop=True, window=False, margin=0.1))
    np.testing.assert_array_equal(result.pixels, _rgb(expected))
    left, top, right, bottom = (round(x) for x in result.original_corners)
    np.testing.assert_array_equal(image[top:bottom, left:right], expected)


def test_image_without_a_breast_is_kept_whole():
    image = _rgb(np.zeros((40, 30), np.uint8))
    result = augment_image(image, build_test_augmentation(short_edge_length=30, breast_crop=True))
    assert result.pixels.shape == (40, 30, 3)
    assert result.original_corners == (0, 0, 30, 40)


@pytest.mark.parametrize("margin", [-0.01, float("inf"), float("nan")])
def test_senseless_margin_is_refused(margin):
    with pytest.raises(InputError, match="margin"):
        BreastPreprocessing(crop=True, window=False, margin=margin)


def test_corners_lead_back_to_the_original():
    """Through all of training's augmentation, against the transform applied to many points."""
    image = _rgb(paint_mammogram(401, 307)[0])
    augmentation = build_train_augmentation(
        short_edge_lengths=[140, 231],
        crop_short_edge_lengths=[120, 163],
        crop_size_range=(60, 150),
        breast_crop=True,
    )
    is_mirrored = set()
    for index in range(40):
        with seeded(0, index):
            pixels, transform, corners, *_ = augment_image(image, augmentation)
        points = np.random.default_rng(index).uniform(0, 300, (50, 2))
        inside = transform.apply_coords(points.copy())
        x0, y0, x1, y1 = corners
        back = (x0, y0) + inside / pixels.shape[1::-1] * (x1 - x0, y1 - y0)
        np.testing.assert_allclose(back, points, atol=1e-9)
        is_mirrored.add(x0 > x1)
    assert is_mirrored == {False, True}


def test_turned_image_has_no_corners():
    result = augment_image(_rgb(paint_mammogram(60, 40)[0]), T.RandomRotation([90, 90]))
    assert result.original_corners is None


def test_test_images_show_what_train_images_show():
    image = _rgb(paint_mammogram(400, 300)[0])
    train = build_train_augmentation(
        short_edge_lengths=[128], flip_probability=0, crop_probability=0, breast_crop=True
    )
    test = build_test_augmentation(short_edge_length=128, breast_crop=True)
    np.testing.assert_array_equal(augment_image(image, train)[0], augment_image(image, test)[0])


def _windowed(image):
    result = augment_image(_rgb(image), BreastPreprocessing(crop=False, window=True)).pixels
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 255
    return result


def _textured(height=400, width=300, **options):
    """A painted mammogram, 12 bits, with noise of tissue."""
    image, breast = paint_mammogram(height, width, **options)
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=image.shape), (0, 0), height / 80)
    noise *= 12 / noise.std()
    return np.clip((image + np.where(breast, noise, 0)) * 16, 0, 4095).astype(np.uint16), breast


def test_window_is_of_the_breast_alone():
    image, breast = _textured()
    windowed = _windowed(image)[..., 0]
    coarse = cv2.resize(image.astype(np.float32), (192, 256), interpolation=cv2.INTER_AREA)
    inside = cv2.resize(breast.astype(np.float32), (192, 256), interpolation=cv2.INTER_AREA) > 0.5
    low, high = np.percentile(coarse[inside], (25, 75))
    expected = np.clip((image - low) / (high - low) * 48 + 96, 0, 255)
    np.testing.assert_allclose(windowed, expected, atol=2)
    without_artifacts, _ = _textured(artifacts=False)
    np.testing.assert_allclose(
        _windowed(without_artifacts)[breast], _windowed(image)[breast], atol=1
    )


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        (lambda x: (x // 16).astype(np.uint8), 2.5),
        (lambda x: x * 16, 0.01),
        (lambda x: (x / 4095).astype(np.float32), 0.01),
        (lambda x: x * -3.5 * -1 - 1000, 0.01),
        (lambda x: x // 2 + 1500, 0.5),
    ],
    ids=["8-bit", "16-bit", "share", "rescaled", "shifted"],
)
def test_gray_levels_are_those_of_every_linear_scale(change, tolerance):
    image, _ = _textured()
    np.testing.assert_allclose(_windowed(change(image)), _windowed(image), atol=tolerance)


def test_reduced_copy_has_the_window_of_the_image():
    image, _ = _textured(1600, 1200)
    small = cv2.resize(image, (300, 400), interpolation=cv2.INTER_AREA)
    reduced = cv2.resize(_windowed(image), (300, 400), interpolation=cv2.INTER_AREA)
    inside = cv2.erode(find_breast(small).mask.astype(np.uint8), np.ones((9, 9)))
    inside = cv2.resize(inside, (300, 400), interpolation=cv2.INTER_NEAREST).astype(bool)
    difference = np.abs(_windowed(small)[inside] - reduced[inside])
    assert np.quantile(difference, 0.99) < 2  # the rest is the edge of the muscle


def test_breast_of_one_gray_level_stays_in_the_window():
    """Its quartiles are equal; what little there is beside them is not blown up without bounds."""
    image = np.zeros((300, 200), np.uint16)
    image[50:250, :150] = 3000
    windowed = _windowed(image)[..., 0]
    np.testing.assert_allclose(windowed[60:240, 10:140], 96)
    image[100:110, 50:60] = 3001
    assert _windowed(image)[105, 55, 0] < 98


def test_image_without_a_breast_keeps_its_levels():
    image = _rgb(np.full((40, 30), 7, np.uint8))
    result = augment_image(image, BreastPreprocessing(crop=True, window=True))
    np.testing.assert_array_equal(result.pixels, image)


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"WindowCenter": 2000, "WindowWidth": 900},
        {"WindowCenter": 1500, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"},
        {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": 2, "RescaleIntercept": -50},
    ],
    ids=["plain", "narrow-window", "sigmoid", "monochrome1"],
)
def test_dicom_and_its_16_bit_png_are_the_same_input(tmp_path, write_dicom, elements):
    image, _ = _textured()
    is_inverted = elements.get("PhotometricInterpretation") == "MONOCHROME1"
    stored = 4095 - image if is_inverted else image
    dicom = write_dicom(stored, BitsStored=12, **elements)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    inputs = []
    for path in (dicom, tmp_path / "image.png"):
        augmentation = build_test_augmentation(
            short_edge_length=150, breast_crop=True, breast_window=True
        )
        mapper = DetectionMapper(with_boxes=False, augmentation=augmentation)
        record = {"file_name": str(path), "image_id": 1, "height": 400, "width": 300}
        inputs.append(mapper(record)["image"].numpy())
    np.testing.assert_allclose(inputs[0], inputs[1], atol=0.01)


def test_padding_is_no_darker_background_in_a_png_of_a_dicom_file(tmp_path, write_dicom):
    image, _ = _textured()
    stored = 4095 - (image // 4 + 800)  # a background far from black
    stored[:, 180:] = 4095
    elements = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": 4095}
    dicom = write_dicom(stored, BitsStored=12, **elements)
    cv2.imwrite(str(tmp_path / "image.png"), read_pixels(SourceImage(dicom, "image")))
    augmentation = BreastPreprocessing(crop=True, window=True)
    of_dicom, of_png = (
        augment_image(image, augmentation).pixels
        for image in (read_image(dicom, apply_voi=False), read_image(tmp_path / "image.png"))
    )
    np.testing.assert_allclose(of_png, of_dicom, atol=0.01)


@pytest.mark.parametrize("window", [False, True])
def test_who_sets_the_window_is_known(window):
    assert sets_window(build_test_augmentation(breast_window=window)) == window
    nested = T.AugmentationList([build_train_augmentation(breast_crop=True, breast_window=window)])
    assert sets_window(nested) == window
