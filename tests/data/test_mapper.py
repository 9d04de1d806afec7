import copy
import itertools

import cv2
import detectron2.data.transforms as T
import numpy as np
import pytest
import torch
from detectron2.data import build_detection_train_loader
from detectron2.structures import BoxMode
from PIL import Image

from medmask.data import DetectionMapper, build_test_augmentation, build_train_augmentation
from medmask.data.sample_stream import seeded
from medmask.errors import InputError

HEIGHT, WIDTH = 90, 70


def _dataset_dict(path, boxes, **fields):
    return {
        "file_name": str(path),
        "image_id": 5,
        "patient_id": "P1",
        "height": HEIGHT,
        "width": WIDTH,
        "annotations": [
            {"bbox": list(box), "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "iscrowd": 0}
            for box in boxes
        ],
        **fields,
    }


def _save_rectangle(path, box):
    """A bright rectangle of whole pixels on black."""
    x, y, width, height = box
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[y : y + height, x : x + width] = 255
    Image.fromarray(pixels).save(path)


def _bounds(image):
    """(x0, y0, x1, y1) of the pixels that are more bright than dark; None if there are none."""
    ys, xs = np.nonzero(image[0].numpy() > 127)
    if not len(xs):
        return None
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


def test_several_augmentations_go_into_one():
    flips = [T.RandomFlip(), T.RandomFlip()]
    with pytest.raises(InputError, match=r"augmentation is a list.*AugmentationList"):
        DetectionMapper(with_boxes=False, augmentation=flips)
    DetectionMapper(with_boxes=False, augmentation=T.AugmentationList(flips))


def test_loader_of_detectron2_gives_all_gray_levels_by_this_mapper(tmp_path):
    """Detectron2's own mapper clips more than 8 bits to white, without a word."""
    levels = np.linspace(0, 4095, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), levels)
    dataset_dict = _dataset_dict(tmp_path / "deep.png", [[10, 20, 30, 40]])
    mapper = DetectionMapper(with_boxes=True, augmentation=T.AugmentationList([]))
    loader = build_detection_train_loader([dataset_dict], mapper=mapper, total_batch_size=1)
    ((sample,),) = itertools.islice(loader, 1)
    assert len(sample["image"].unique()) > 4000
    assert sample["instances"].gt_boxes.tensor.tolist() == [[10, 20, 40, 60]]


@pytest.mark.parametrize("flip_probability", [0, 1])
def test_flipped_boxes_bound_their_pixels_exactly(tmp_path, flip_probability):
    augmentation = build_train_augmentation(
        short_edge_lengths=[WIDTH], crop_probability=0, flip_probability=flip_probability
    )
    mapper = DetectionMapper(with_boxes=True, augmentation=augmentation)
    for box in [(0, 0, 1, 1), (69, 89, 1, 1), (10, 20, 7, 30), (0, 0, WIDTH, HEIGHT)]:
        _save_rectangle(tmp_path / "image.png", box)
        sample = mapper(_dataset_dict(tmp_path / "image.png", [box]))
        boxes = sample["instances"].gt_boxes.tensor.numpy()
        np.testing.assert_array_equal(boxes, [_bounds(sample["image"])])


def test_augmented_boxes_bound_their_pixels(tmp_path):
    """Flips, resizes and crops, against the rectangle that is seen in the result."""
    box = (8, 10, 15, 20)
    _save_rectangle(tmp_path / "image.png", box)
    augmentation = build_train_augmentation(
        short_edge_lengths=[140, 230],
        crop_short_edge_lengths=[120, 160],
        crop_size_range=(60, 150),
    )
    mapper = DetectionMapper(with_boxes=True, augmentation=augmentation)
    cropped = dropped = compared = 0
    for index in range(80):
        with seeded(0, index):
            sample = mapper(_dataset_dict(tmp_path / "image.png", [box]))
        bounds, boxes = _bounds(sample["image"]), sample["instances"].gt_boxes.tensor.numpy()
        if len(boxes) == 0:
            dropped += 1
            assert bounds is None
            continue
        assert (boxes[:, :2] >= 0).all()
        height, width = sample["image"].shape[1:]
        assert (boxes[:, 2:] <= (width, height)).all()
        cropped += bool((boxes[:, :2] == 0).any() or (boxes[:, 2:] == (width, height)).any())
        if (boxes[:, 2:] - boxes[:, :2]).min() > 8:  # of less, blurring leaves too little to see
            compared += 1
            # a pixel of the crop is up to four of the result; half of one may be lost at an edge
            np.testing.assert_allclose(boxes, [bounds], atol=2)
    assert compared > 40
    assert cropped > 5
    assert dropped > 0


def test_boxes_are_clipped_and_dropped(tmp_path):
    _save_rectangle(tmp_path / "image.png", (0, 0, 1, 1))
    boxes = [(5, 5, 20, 20), (30, 30, 8, 8), (0, 0, 10, 10), (15, 12, 2, 3), (25, 12, 5, 5)]
    dataset_dict = _dataset_dict(tmp_path / "image.png", boxes)
    for number, annotation in enumerate(dataset_dict["annotations"]):
        annotation["category_id"] = number
    dataset_dict["annotations"].append(
        {**dataset_dict["annotations"][3], "iscrowd": 1, "category_id": 9}
    )
    crop = T.AugmentationList([T.CropTransform(10, 10, 15, 12)])  # x 10 to 25, y 10 to 22
    before = copy.deepcopy(dataset_dict)
    instances = DetectionMapper(with_boxes=True, augmentation=crop)(dataset_dict)["instances"]
    assert instances.image_size == (12, 15)
    assert instances.gt_boxes.tensor.tolist() == [[0, 0, 15, 12], [5, 2, 7, 5]]
    assert instances.gt_classes.tolist() == [0, 3]
    assert instances.gt_classes.dtype == torch.int64
    assert dataset_dict == before


def test_negative_image(tmp_path):
    _save_rectangle(tmp_path / "image.png", (0, 0, 1, 1))
    mapper = DetectionMapper(with_boxes=True, augmentation=build_train_augmentation())
    instances = mapper(_dataset_dict(tmp_path / "image.png", []))["instances"]
    assert instances.gt_boxes.tensor.shape == (0, 4)
    assert instances.gt_classes.shape == (0,)


@pytest.fixture(params=["png8", "png16", "jpeg", "dicom"])
def image_file(request, tmp_path, write_dicom):
    ramp = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    if request.param == "dicom":
        return write_dicom(ramp.astype(np.uint16), BitsStored=14), torch.float32
    if request.param == "png16":
        cv2.imwrite(str(tmp_path / "image.png"), (ramp * 10).astype(np.uint16))
        return tmp_path / "image.png", torch.float32
    suffix = "jpg" if request.param == "jpeg" else "png"
    Image.fromarray((ramp * 255 / ramp.max()).astype(np.uint8)).save(tmp_path / f"image.{suffix}")
    return tmp_path / f"image.{suffix}", torch.uint8


def test_every_format_gives_the_same_picture(image_file):
    path, dtype = image_file
    augmentation = build_test_augmentation(short_edge_length=140)
    mapper = DetectionMapper(with_boxes=False, augmentation=augmentation)
    sample = mapper(_dataset_dict(path, [(1, 1, 2, 2)]))
    image = sample.pop("image")
    np.testing.assert_allclose(sample.pop("to_original"), [[0.5, 0, 0], [0, 0.5, 0]], atol=1e-9)
    assert sample == {
        "file_name": str(path),
        "image_id": 5,
        "patient_id": "P1",
        "height": HEIGHT,
        "width": WIDTH,
        "original_corners": (0, 0, WIDTH, HEIGHT),
    }
    assert image.dtype == dtype
    assert image.shape == (3, 180, 140)
    assert image.is_contiguous()
    ramp = torch.linspace(0, 255, HEIGHT)[:, None].expand(HEIGHT, WIDTH)
    expected = torch.nn.functional.interpolate(ramp[None, None], scale_factor=2, mode="bilinear")
    assert (image - expected[0]).abs().max() < 6  # one row of the ramp is 2.9


def test_wrong_size_is_named(tmp_path):
    path = tmp_path / "image.png"
    _save_rectangle(path, (0, 0, 1, 1))
    mapper = DetectionMapper(with_boxes=False, augmentation=build_test_augmentation())
    with pytest.raises(InputError) as error:
        mapper(_dataset_dict(path, [], height=WIDTH, width=HEIGHT))
    for words in (str(path), "70 x 90", "90 x 70", "medmask check-data"):
        assert words in str(error.value)
