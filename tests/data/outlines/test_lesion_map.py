import json

import numpy as np
import pytest
from detectron2.structures import BoxMode
from PIL import Image
from pycocotools import mask as coco_mask

from medmask.coco import encode_mask
from medmask.data import DetectionMapper, LesionMapDrawer, build_train_augmentation
from medmask.data.dataset_dicts import load_coco
from medmask.data.mixup import mix_samples
from medmask.data.outlines import BACKGROUND, IGNORED, LESION
from medmask.data.sample_stream import seeded
from medmask.errors import InputError

SIZE = (12, 10)
AS_IT_IS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


def record(*annotations):
    return {
        "file_name": "a.png",
        "height": SIZE[0],
        "width": SIZE[1],
        "annotations": [
            {"bbox": [2, 3, 4, 4], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0, "iscrowd": 0}
            | annotation
            for annotation in annotations
        ],
    }


def draw(*annotations, **options):
    return LesionMapDrawer(**options).draw(record(*annotations), AS_IT_IS, SIZE)


SQUARE = [2, 3, 6, 3, 6, 7, 2, 7]


def test_polygons_of_an_annotation_are_joined():
    drawn = draw({"segmentation": [SQUARE, [0, 0, 3, 0, 3, 4, 0, 4]]})
    expected = np.full(SIZE, BACKGROUND)
    expected[3:7, 2:6] = expected[:4, :3] = LESION
    assert np.array_equal(drawn, expected)


@pytest.mark.parametrize("compressed", [False, True])
def test_run_lengths(compressed):
    mask = np.random.default_rng(0).random(SIZE) < 0.5
    counts = encode_mask(mask)
    if compressed:
        counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    drawn = draw({"segmentation": {"size": list(SIZE), "counts": counts}})
    assert np.array_equal(drawn, np.where(mask, LESION, BACKGROUND))


@pytest.mark.parametrize("none", [{}, {"segmentation": None}, {"segmentation": []}])
def test_boxes_alone_are_ignored_or_ellipses(none):
    assert np.array_equal(np.argwhere(draw(none) == IGNORED), np.argwhere(draw_box()))
    drawn = draw(none, without_outline="ellipse")
    assert set(np.unique(drawn)) == {BACKGROUND, LESION}
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    assert np.array_equal(drawn == LESION, ((x - 4) / 2) ** 2 + ((y - 5) / 2) ** 2 <= 1)


def draw_box():
    box = np.zeros(SIZE, bool)
    box[3:7, 2:6] = True
    return box


def test_lesions_win_over_what_is_ignored_in_any_order():
    crowd = {"iscrowd": 1, "bbox": [0, 0, 8, 8]}
    lesion = {"segmentation": [SQUARE]}
    for annotations in ((crowd, lesion), (lesion, crowd)):
        for mode in ("ignore", "ellipse"):
            drawn = draw(*annotations, without_outline=mode)
            assert (drawn[3:7, 2:6] == LESION).all()
            assert (drawn == IGNORED).sum() == 64 - 16


def test_an_image_without_lesions_is_background():
    assert (draw() == BACKGROUND).all()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4]], "three corners"),
        ([[1, 2, 3, 4, 5, 6, 7]], "three corners"),
        (SQUARE, "three corners"),
        ([[1, 2, 3, "4", 5, 6]], "three corners"),
        ([[1, 2, 3, 4, 5, float("nan")]], "not finite"),
        ("polygon", "it is str"),
        ({"size": [5, 5], "counts": [25]}, r"its size is \[5, 5\], but the image has"),
        ({"size": 7, "counts": [25]}, "its size is 7"),
        ({"counts": [25]}, "of 25 pixels"),
        ({"size": list(SIZE)}, "no run lengths"),
    ],
    ids=["short", "odd", "flat", "text", "nan", "word", "size", "number", "sum", "none"],
)
def test_faulty_outlines_are_named(segmentation, message):
    with pytest.raises(InputError, match=f"segmentation of annotation 1 of a.png .*{message}"):
        draw({}, {"segmentation": segmentation})


def test_other_choices_are_refused():
    with pytest.raises(InputError, match="without_outline is 'box': choose ignore or ellipse"):
        LesionMapDrawer(without_outline="box")


def test_augmentation_that_bends_is_refused():
    with pytest.raises(InputError, match="bends the image"):
        LesionMapDrawer().draw(record(), None, SIZE)


def test_from_a_file_through_the_mapper_to_the_lesion_that_is_seen(tmp_path):
    """Bright lesions on black: the map agrees with the pixels that are seen after augmentation."""
    mask = np.zeros((120, 90), bool)
    y, x = np.mgrid[:120, :90]
    mask[(np.hypot(x - 30, y - 50) < 17) & (x + y < 90)] = True
    Image.fromarray(255 * mask.astype(np.uint8)).save(tmp_path / "a.png")
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 120, "width": 90}],
        "categories": [{"id": 1, "name": "malignant"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [int(value) for value in box],
                "segmentation": {"size": [120, 90], "counts": encode_mask(mask)},
            }
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    (dataset_dict,) = load_coco(tmp_path / "a.json", tmp_path)
    mapper = DetectionMapper(
        with_boxes=True,
        augmentation=build_train_augmentation(
            short_edge_lengths=[70, 140],
            crop_short_edge_lengths=[80, 120],
            crop_size_range=(60, 110),
            rotation_degrees=20,
        ),
        lesion_map=LesionMapDrawer(),
    )
    seen = turned = 0
    for index in range(40):
        with seeded(0, index):
            sample = mapper(dataset_dict)
        drawn, bright = sample["lesion_map"] == LESION, sample["image"][0] > 127
        assert drawn.shape == bright.shape
        seen += int(drawn.sum() > 200)
        if min(drawn.shape) > 80 and sample["lesion_map"][0, 0] == IGNORED:
            turned += 1
            assert sample["image"][:, sample["lesion_map"] == IGNORED].max() <= 128  # at the edge
        # interpolation decides the pixels of the edge
        assert (drawn != bright).sum() <= 0.06 * drawn.sum() + 20
    assert seen > 20
    assert turned > 20  # whose corners show nothing


def test_a_mixed_image_has_the_outlines_of_both(tmp_path):
    Image.fromarray(np.zeros((12, 10), np.uint8)).save(tmp_path / "a.png")
    mapper = DetectionMapper(
        with_boxes=True,
        augmentation=build_train_augmentation(
            short_edge_lengths=[10], crop_probability=0, flip_probability=0
        ),
        lesion_map=LesionMapDrawer(),
    )

    def sample(*annotations):
        return mapper(record(*annotations) | {"file_name": str(tmp_path / "a.png")})

    outlined, boxed = sample({"segmentation": [SQUARE]}), sample({"bbox": [0, 0, 5, 5]})
    mixed = mix_samples(outlined, boxed | {"lesion_map": boxed["lesion_map"][:9]}, 0.4)
    expected = np.zeros(SIZE)
    expected[:5, :5] = IGNORED
    expected[3:7, 2:6] = LESION
    assert np.array_equal(mixed["lesion_map"], expected)
