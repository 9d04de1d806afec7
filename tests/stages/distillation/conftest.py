import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from expert_image_set import NAME, write_images, write_store

from medmask.data import register_coco_dataset


@pytest.fixture
def records(tmp_path):
    register_coco_dataset(NAME, *write_images(tmp_path / "images"), ["malignant"])
    yield DatasetCatalog.get(NAME)
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


@pytest.fixture
def store(tmp_path, records):
    return write_store(tmp_path / "store", records)
