import logging
from types import SimpleNamespace

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import OmegaConf

from medmask.data import register_coco_dataset
from medmask.data.loaders import build_train_loader
from medmask.engine.labeled_images import tell_of_labeled_images


@pytest.fixture
def tell(coco_content, write_tree, caplog):
    """Tells of a run on sets that hold images 1 to 3 by their numbers; gives the warnings.

    Images 1 and 3 are of one patient, image 2 is of another.
    """
    names = []

    def register(name, numbers):
        images = [image for image in coco_content["images"] if image["id"] in numbers]
        boxes = [box for box in coco_content["annotations"] if box["image_id"] in numbers]
        content = coco_content | {"images": images, "annotations": boxes}
        paths = write_tree(content, f"{name}.json", "images")
        register_coco_dataset(name, *paths, ["malignant"])
        names.append(name)

    def run(**sets):
        for name, numbers in sets.items():
            register(name, numbers)
        train, test = sets
        loader = build_train_loader(
            dataset=train,
            mapper=SimpleNamespace(),
            total_batch_size=2,
            num_workers=0,
            seed=0,
        )
        parts = {"train": {"dataset": train}, "test": {"dataset": test}}
        options = {"max_iter": 3, "gradient_accumulation": 1}
        with caplog.at_level(logging.INFO, logger="medmask.engine.labeled_images"):
            tell_of_labeled_images(
                loader, OmegaConf.create({"dataloader": parts, "train": options})
            )
        return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]

    yield run
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def test_epochs_are_told(tell, caplog):
    assert tell(mine_train=[1, 3], mine_val=[2]) == []
    assert "3 iterations: 3.0 epochs of labeled images." in caplog.text


def test_images_that_are_trained_and_tested_on_are_told(tell):
    (warning,) = tell(mine_train=[1, 2, 3], mine_val=[2])
    assert "trains on 1 of the 1 image of mine_val" in warning
    assert "1 of its 1 patient" in warning


def test_other_images_of_a_patient_are_told(tell):
    (warning,) = tell(mine_train=[1], mine_val=[2, 3])
    assert "trains on 0 of the 2 images of mine_val" in warning
    assert "on 1 of its 2 patients" in warning


def test_equal_ids_in_sets_of_other_names_are_other_patients(tell):
    assert tell(mine_train=[1], theirs_val=[2, 3]) == []


def test_one_image_in_sets_of_other_names_is_one(tell):
    (warning,) = tell(mine_train=[1, 3], theirs_val=[2, 3])
    assert "trains on 1 of the 2 images of theirs_val" in warning


def test_images_without_a_patient_have_none_in_common(tell, coco_content):
    for image in coco_content["images"]:
        del image["patient_id"]
    assert tell(mine_train=[1], mine_val=[2, 3]) == []


def test_set_without_lesions_is_told(tell):
    (warning,) = tell(mine_train=[3], mine_val=[2])
    assert "No image of dataloader.train.dataset has a lesion" in warning
