import re
from pathlib import Path

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator
from detectron2.structures import Boxes, Instances

import medmask.data
from medmask.converters.registry import CONVERTERS
from medmask.data import catalog, register_coco_dataset
from medmask.data.catalog import check_registered
from medmask.errors import InputError

CITYSCAPES = ["person", "car", "train", "rider", "truck", "motorcycle", "bicycle", "bus"]
MAMMOGRAPHY = ["inbreast", "ddsm", "rsna_bsd1k", "phantom_film", "phantom_ffdm"]
NATURAL = {
    "cityscapes": CITYSCAPES,
    "cityscapes_caronly": ["car"],
    "foggy_cityscapes": CITYSCAPES,
    "sim10k": ["car"],
    "bdd100k_daytime": CITYSCAPES,
}
PARTS = ["all", "train", "val", "test", "heldout"]
PARTS += [f"fold{fold}_{part}" for fold in range(5) for part in ("train", "test")]
CLASSES = {f"{s}_{split}": ["malignant"] for s in MAMMOGRAPHY for split in ("train", "val", "test")}
CLASSES |= {f"{s}_{split}": NATURAL[s] for s in NATURAL for split in ("train", "val")}
CLASSES |= {
    f"{s}{infix}_{part}": ["lesion" if infix == "_lesion" else "malignant"]
    for s in CONVERTERS
    for infix in ("", "_malignant", "_lesion")
    for part in PARTS
}

TREES = [
    ("inbreast_val", "inbreast/annotations/instances_val.json", "inbreast/images"),
    ("inbreast_heldout", "inbreast/annotations/instances_heldout.json", "inbreast/images"),
    (
        "ddsm_lesion_fold2_test",
        "ddsm/annotations/instances_fold2_test_lesion.json",
        "ddsm/images",
    ),
    (
        "coco_tree_malignant_fold3_train",
        "coco_tree/annotations/instances_fold3_train.json",
        "coco_tree/images",
    ),
    ("mini_mias_all", "mini_mias/annotations/instances_all.json", "mini_mias/images"),
    ("vindr_mammo_test", "vindr_mammo/annotations/instances_test.json", "vindr_mammo/images"),
    ("inbreast_train", "inbreast/annotations/instances_train.json", "inbreast/images/train"),
    ("ddsm_val", "ddsm/annotations/instances_val.json", "ddsm/images/val"),
    ("ddsm_test", "ddsm/annotations/instances_test.json", "ddsm/images/test"),
    ("rsna_bsd1k_train", "rsna-bsd1k/annotations/instances_full.json", "rsna-bsd1k/images/train"),
    ("rsna_bsd1k_train", "rsna-bsd1k/annotations/instances_train2017.json", "rsna-bsd1k/train2017"),
    ("rsna_bsd1k_val", "rsna-bsd1k/annotations/instances_val.json", "rsna-bsd1k/images/val"),
    (
        "rsna_bsd1k_test",
        "rsna-bsd1k/annotations/image_info_test-dev2017.json",
        "rsna-bsd1k/train2017",
    ),
    ("rsna_bsd1k_test", "rsna-bsd1k/annotations/instances_test.json", "rsna-bsd1k/images/test"),
    ("phantom_ffdm_val", "phantom/ffdm/annotations/instances_val.json", "phantom/ffdm/images/val"),
]
CAR_TREES = [
    (
        "cityscapes_caronly_val",
        "cityscapes/annotations/cityscapes_val_caronly_cocostyle.json",
        "cityscapes/leftImg8bit/val",
    ),
    (
        "cityscapes_caronly_train",
        "cityscapes/annotations/cityscapes_caronly_train_cocostyle.json",
        "cityscapes/leftImg8bit/train",
    ),
    ("sim10k_val", "sim10k/annotations/sim10k_val_cocostyle.json", "sim10k/JPEGImages"),
]
CITY_TREES = [
    (
        "cityscapes_train",
        "cityscapes/annotations/cityscapes_train_cocostyle.json",
        "cityscapes/leftImg8bit/train",
    ),
    (
        "foggy_cityscapes_val",
        "foggy_cityscapes/annotations/foggy_cityscapes_val_cocostyle.json",
        "foggy_cityscapes/leftImg8bit_foggy/val",
    ),
    (
        "bdd100k_daytime_train",
        "bdd10k/annotations/bdd100k_daytime_train_cocostyle.json",
        "bdd10k/JPEGImages",
    ),
    (
        "bdd100k_daytime_val",
        "bdd100k/annotations/bdd100k_daytime_val_cocostyle.json",
        "bdd100k/images/100k/val",
    ),
]


@pytest.fixture(autouse=True)
def data_root(monkeypatch, tmp_path):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


@pytest.fixture
def new_name():
    name = "a_set_of_my_own"
    yield name
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_every_set_is_registered():
    for name, classes in CLASSES.items():
        assert name in DatasetCatalog
        metadata = MetadataCatalog.get(name)
        assert metadata.thing_classes == classes
        assert metadata.evaluator_type == "coco"


def test_registering_touches_no_disk_and_may_be_repeated(monkeypatch):
    def touch(*_):
        raise AssertionError("looked for files")

    monkeypatch.setattr(catalog, "dataset_root", touch)
    medmask.data.register_datasets()
    for name in CLASSES:
        DatasetCatalog.remove(name)
    medmask.data.register_datasets()
    assert set(CLASSES) <= set(DatasetCatalog)


def _tree_categories(coco_content, names_by_id, used):
    coco_content["categories"] = [{"id": i, "name": name} for i, name in names_by_id.items()]
    for annotation in coco_content["annotations"]:
        annotation["category_id"] = used
    return coco_content


@pytest.mark.parametrize(("name", "json_file", "image_root"), TREES + CAR_TREES + CITY_TREES)
def test_trees(coco_content, write_tree, data_root, name, json_file, image_root):
    if name.endswith("caronly_val"):  # the file of the car-only set may define all categories
        _tree_categories(coco_content, dict(enumerate(CITYSCAPES, start=1)), used=2)
    elif CLASSES[name] in (["car"], ["lesion"]):
        _tree_categories(coco_content, {1: CLASSES[name][0]}, used=1)
    elif CLASSES[name] == CITYSCAPES:
        _tree_categories(coco_content, dict(enumerate(CITYSCAPES, start=1)), used=7)
    write_tree(coco_content, json_file, image_root)
    metadata = MetadataCatalog.get(name)
    assert metadata.json_file == str(data_root / json_file)
    assert metadata.image_root == str(data_root / image_root)
    records = DatasetCatalog.get(name)
    assert [Path(record["file_name"]).parent for record in records] == [data_root / image_root] * 3
    found = {a["category_id"] for record in records for a in record["annotations"]}
    assert found == {6 if CLASSES[name] == CITYSCAPES else 0}
    assert set(metadata.thing_dataset_id_to_contiguous_id.values()) == set(
        range(len(CLASSES[name]))
    )


def test_converted_set_comes_before_its_raw_download(coco_content, write_tree, data_root):
    """Of RSNA-BSD1K, whose raw training file holds images of other splits."""
    raw = ("rsna-bsd1k/annotations/instances_full.json", "rsna-bsd1k/images/train")
    converted = ("rsna_bsd1k/annotations/instances_train.json", "rsna_bsd1k/images")
    for tree in (raw, converted):
        write_tree(coco_content, *tree)
    metadata = MetadataCatalog.get("rsna_bsd1k_train")
    assert metadata.json_file == str(data_root / converted[0])
    assert metadata.image_root == str(data_root / converted[1])


@pytest.mark.parametrize(
    ("name", "json_file", "image_root", "other_folder"),
    [
        (
            "rsna_bsd1k_train",
            "rsna-bsd1k/annotations/instances_full.json",
            "rsna-bsd1k/train2017",
            "rsna_bsd1k/images",  # as of a conversion to folds alone
        ),
        (
            "bdd100k_daytime_val",
            "bdd100k/annotations/bdd100k_daytime_val_cocostyle.json",
            "bdd100k/images/100k/val",
            "bdd10k/JPEGImages",
        ),
        # a converted tree whose file names begin with the folder of a split
        (
            "inbreast_train",
            "inbreast/annotations/instances_train.json",
            "inbreast/images",
            "inbreast/images/train",
        ),
    ],
)
def test_images_are_those_of_the_annotation_file(
    coco_content, write_tree, data_root, name, json_file, image_root, other_folder
):
    if CLASSES[name] == CITYSCAPES:
        _tree_categories(coco_content, dict(enumerate(CITYSCAPES, start=1)), used=7)
    write_tree(coco_content, json_file, image_root)
    (data_root / other_folder).mkdir(parents=True)
    if name == "inbreast_train":
        (data_root / "inbreast" / "provenance.json").write_text("{}")
    assert MetadataCatalog.get(name).json_file == str(data_root / json_file)
    assert MetadataCatalog.get(name).image_root == str(data_root / image_root)
    assert len(DatasetCatalog.get(name)) == 3


@pytest.fixture(scope="module")
def readme() -> str:
    """The page that describes the trees, with each name that its braces stand for."""
    text = (Path(__file__).parents[2] / "datasets" / "README.md").read_text()
    names = re.findall(r"[^\s`]*\{\S*\}[^\s`]*", text)
    return "\n".join([text, *(name for pattern in names for name in _expand(pattern))])


def _expand(pattern: str) -> list[str]:
    """``a{b,c}`` as a shell expands it."""
    match = re.search(r"\{([^{}]*)\}", pattern)
    if match is None:
        return [pattern]
    parts = [
        pattern[: match.start()] + part + pattern[match.end() :] for part in match[1].split(",")
    ]
    return [name for part in parts for name in _expand(part)]


@pytest.mark.parametrize("name", CLASSES)
def test_missing_files_name_paths_and_section(data_root, readme, name):
    with pytest.raises(InputError) as error:
        DatasetCatalog.get(name)
    message = str(error.value)
    assert f"'{name}' has no annotation file {data_root}" in message
    section = re.search(r"section '(.+)' in datasets/README.md", message)[1]
    assert f"\n## {section}\n" in readme
    paths = re.findall(rf"{data_root}/\S+\.json", message)
    assert paths
    for path in paths:
        assert Path(path).name in readme


def test_missing_image_folder(coco_content, write_tree, data_root):
    write_tree(coco_content, "ddsm/annotations/instances_train.json", "elsewhere")
    with pytest.raises(InputError, match=f"no image folder {data_root}/ddsm/images/train"):
        DatasetCatalog.get("ddsm_train")


def test_evaluator_built_before_loading(coco_content, write_tree):
    """COCOEvaluator reads paths and category ids from the metadata; perfect boxes score 100."""
    write_tree(coco_content, "ddsm/annotations/instances_val.json", "ddsm/images/val")
    evaluator = COCOEvaluator("ddsm_val", tasks=("bbox",), use_fast_impl=False)
    evaluator.reset()
    for record in DatasetCatalog.get("ddsm_val"):
        boxes = torch.tensor([a["bbox"] for a in record["annotations"]]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = Instances((record["height"], record["width"]))
        instances.pred_boxes = Boxes(boxes)
        instances.scores = torch.linspace(1, 0.5, len(boxes))
        instances.pred_classes = torch.zeros(len(boxes), dtype=torch.int64)
        evaluator.process([record], [{"instances": instances}])
    assert evaluator.evaluate()["bbox"]["AP"] == pytest.approx(100)


def test_unknown_name_gets_the_most_similar_ones_and_no_list():
    with pytest.raises(InputError) as error:
        check_registered("inbrest_leison_train")
    message = str(error.value)
    assert "similar names are inbreast_lesion_train, " in message
    assert message.count("_train") < 8
    with pytest.raises(
        InputError, match=r"'qqq' is not registered; datasets/README.md has all names"
    ):
        check_registered("qqq")


def test_own_set(coco_content, write_tree, new_name):
    coco_content["categories"] = [{"id": 9, "name": "mass"}, {"id": 7, "name": "calcification"}]
    arguments = new_name, "mine/train.json", "mine/train"
    register_coco_dataset(*arguments)  # the files need not be there yet
    with pytest.raises(InputError, match="path given to register_coco_dataset"):
        DatasetCatalog.get(new_name)
    register_coco_dataset(*arguments)
    with pytest.raises(InputError, match="already registered"):
        register_coco_dataset(new_name, "other/train.json", "mine/train")

    DatasetCatalog.remove(new_name)
    MetadataCatalog.remove(new_name)
    register_coco_dataset(new_name, *write_tree(coco_content))
    assert len(DatasetCatalog.get(new_name)) == 3
    metadata = MetadataCatalog.get(new_name)
    assert metadata.thing_classes == ["calcification", "mass"]
    assert metadata.thing_dataset_id_to_contiguous_id == {7: 0, 9: 1}


@pytest.mark.parametrize("classes", ["malignant", [], [1], ["car", "Car "], ["mal", "malignant"]])
def test_class_names_that_are_none(new_name, classes):
    with pytest.raises(InputError, match="classes"):
        register_coco_dataset(new_name, "mine/train.json", "mine/train", classes)
    assert new_name not in DatasetCatalog
