import itertools
import os
import signal
import traceback
from pathlib import Path

import cv2
import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm
from torch.utils.data import get_worker_info

from medmask.data import build_test_loader, build_train_loader, register_coco_dataset
from medmask.errors import InputError

NAME, OTHER = "loader_test_set", "other_loader_test_set"
CONFIGS = Path(__file__).parents[2] / "configs" / "common"


@pytest.fixture
def dataset(coco_content, write_tree):
    register_coco_dataset(NAME, *write_tree(coco_content), ["malignant"])
    yield NAME
    for name in (NAME, OTHER):
        if name in DatasetCatalog:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


def keep(dataset_dict):
    info = get_worker_info()
    threads = None if info is None else (torch.get_num_threads(), cv2.getNumThreads())
    return {"image_id": dataset_dict["image_id"], "threads": threads}


def fail_at_three(dataset_dict):
    if dataset_dict["image_id"] == 3:
        raise InputError("image 3.png cannot be read")
    return dataset_dict


def _train_loader(dataset, mapper=keep, **options):
    defaults = {"total_batch_size": 2, "num_workers": 0, "seed": 0}
    return build_train_loader(dataset=dataset, mapper=mapper, **(defaults | options))


def test_negative_images_are_trained_on(dataset):
    batches = itertools.islice(_train_loader(dataset), 3)
    assert sorted(s["image_id"] for batch in batches for s in batch) == [1, 1, 2, 2, 3, 3]


def test_regions_to_ignore_are_no_lesions_of_a_share(coco_content, write_tree, dataset):
    for annotation in coco_content["annotations"]:
        annotation["iscrowd"] = 1
    register_coco_dataset(OTHER, *write_tree(coco_content), ["malignant"])
    with pytest.raises(InputError, match="no image has lesions"):
        _train_loader(OTHER, lesion_share=0.5)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_test_loader_gives_every_image_once_in_order(dataset, num_workers):
    loader = build_test_loader(dataset=dataset, mapper=keep, batch_size=2, num_workers=num_workers)
    assert len(loader) == 2
    for _ in range(2):  # evaluations repeat
        assert [[s["image_id"] for s in batch] for batch in loader] == [[1, 2], [3]]


def test_workers_are_single_threaded(dataset):
    (sample, *_), *_ = build_test_loader(dataset=dataset, mapper=keep, num_workers=1)
    assert sample["threads"] == (1, 1)


def test_several_sets_are_joined(dataset, coco_content, write_tree):
    coco_content["images"].pop()
    register_coco_dataset(OTHER, *write_tree(coco_content, "b.json", "b"), ["malignant"])
    loader = build_test_loader(dataset=[dataset, OTHER], mapper=keep, num_workers=0)
    assert [batch[0]["image_id"] for batch in loader] == [1, 2, 3, 1, 2]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_errors_of_samples_arrive_as_they_were_raised(dataset, num_workers):
    loaders = (
        _train_loader(dataset, fail_at_three, num_workers=num_workers),
        build_test_loader(dataset=dataset, mapper=fail_at_three, num_workers=num_workers),
    )
    for loader in loaders:
        with pytest.raises(InputError) as error:
            list(itertools.islice(loader, 3))
        assert str(error.value) == "image 3.png cannot be read"


def open_mask_at_three(dataset_dict):
    """A mapper of one's own that opens files."""
    if dataset_dict["image_id"] == 3:
        raise FileNotFoundError(2, "No such file or directory", "masks/3.png")
    return dataset_dict


def divide_by_zero(dataset_dict):
    return 1 / 0


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("build", ["train", "test"])
def test_file_that_a_mapper_cannot_open_is_one_sentence(dataset, num_workers, build):
    options = {"mapper": open_mask_at_three, "num_workers": num_workers}
    if build == "train":
        loader = _train_loader(dataset, **options)
    else:
        loader = build_test_loader(dataset=dataset, **options)
    (path,) = (x["file_name"] for x in DatasetCatalog.get(dataset) if x["image_id"] == 3)
    with pytest.raises(InputError) as caught:
        list(itertools.islice(loader, 3))
    assert str(caught.value) == (
        f"image {path} cannot be loaded (FileNotFoundError): masks/3.png: no such file or "
        "directory: check the path"
    )


@pytest.mark.parametrize("num_workers", [0, 1])
def test_fault_of_a_mapper_keeps_its_traceback(dataset, num_workers):
    loader = build_test_loader(dataset=dataset, mapper=divide_by_zero, num_workers=num_workers)
    with pytest.raises(ZeroDivisionError) as caught:
        next(iter(loader))
    where = "".join(traceback.format_exception(caught.value))
    assert "in divide_by_zero" in where


def test_unknown_set():
    with pytest.raises(InputError, match=r"'inbrest_train' is not registered; .*inbreast_train"):
        _train_loader("inbrest_train")


def test_no_set():
    with pytest.raises(InputError, match="name at least one"):
        _train_loader([])


def test_empty_set(dataset, coco_content, write_tree):
    coco_content.update(images=[], annotations=[])
    register_coco_dataset(OTHER, *write_tree(coco_content, "b.json", "."), ["malignant"])
    with pytest.raises(InputError, match=r"b\.json has a problem: the list 'images' is empty"):
        _train_loader([dataset, OTHER])


def test_sets_of_different_classes(dataset, coco_content, write_tree):
    coco_content["categories"][0]["name"] = "mass"
    register_coco_dataset(OTHER, *write_tree(coco_content, "b.json", "b"), ["mass"])
    with pytest.raises(InputError, match=r"different classes, \['malignant'\] and \['mass'\]"):
        _train_loader([dataset, OTHER])


@pytest.mark.parametrize(("size", "world_size"), [(0, 1), (3, 2)])
def test_batches_that_do_not_divide(monkeypatch, size, world_size):
    monkeypatch.setattr(comm, "get_world_size", lambda: world_size)
    with pytest.raises(InputError, match=f"total_batch_size is {size}"):
        _train_loader("ddsm_train", total_batch_size=size)


def test_config_composes(dataset, tmp_path):
    config = LazyConfig.load(str(CONFIGS / "data" / "mammography.py"))
    config.train = LazyConfig.load(str(CONFIGS / "train.py")).train
    config.train.output_dir = str(tmp_path)
    config = LazyConfig.apply_overrides(
        config,
        [
            f"dataloader.train.dataset={dataset}",
            f"dataloader.test.dataset={dataset}",
            "dataloader.train.total_batch_size=3",
            "dataloader.train.num_workers=0",
            "dataloader.test.num_workers=0",
            "dataloader.train.mapper.augmentation.short_edge_lengths=[100]",
            "dataloader.train.mapper.augmentation.crop_probability=0",
        ],
    )
    batch = next(iter(instantiate(config.dataloader.train)))
    assert {sample["image"].shape for sample in batch} == {(3, 100, 125)}
    assert sorted(len(sample["instances"]) for sample in batch) == [0, 1, 2]
    images = [sample["image"].shape for (sample,) in instantiate(config.dataloader.test)]
    assert images == [(3, 800, 1000)] * 3
    evaluators = instantiate(config.dataloader.evaluator)
    assert [type(e).__name__ for e in evaluators] == [
        "FROCEvaluator",
        "AveragePrecisionEvaluator",
    ]


def die_at_three(dataset_dict):
    if dataset_dict["image_id"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return dataset_dict


def test_dead_worker_is_one_sentence_where_its_samples_are_waited_for(dataset):
    with pytest.raises(InputError, match=r"worker process that loads images was killed.*memory"):
        list(build_test_loader(dataset=dataset, mapper=die_at_three, num_workers=1))
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def interrupt(dataset_dict):
    os.kill(os.getpid(), signal.SIGINT)
    return {"image_id": dataset_dict["image_id"]}


def test_ctrl_c_is_not_for_the_workers(dataset):
    loader = build_test_loader(dataset=dataset, mapper=interrupt, num_workers=1)
    assert [sample["image_id"] for (sample,) in loader] == [1, 2, 3]
