import itertools
import random

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from medmask.data import build_train_loader, register_coco_dataset
from medmask.data.label_fraction import select_share_of_patients
from medmask.errors import InputError


def make_dataset_dicts(patients=60, with_lesions=20):
    """Two images a patient; the first patients have a lesion in their second one."""
    return [
        {
            "image_id": 2 * patient + view,
            "patient_id": f"P{patient}",
            "annotations": [{}] if patient < with_lesions and view == 1 else [],
        }
        for patient in range(patients)
        for view in (0, 1)
    ]


def ids(dataset_dicts):
    return [x["image_id"] for x in dataset_dicts]


@pytest.mark.parametrize(
    ("fraction", "positive", "negative"), [(0.1, 2, 4), (0.025, 1, 1), (0.5, 10, 20), (1, 20, 40)]
)
def test_share_of_patients_with_and_without_lesions(fraction, positive, negative):
    share = select_share_of_patients(make_dataset_dicts(), fraction, seed=0)
    patients = {x["patient_id"] for x in share}
    assert len(share) == 2 * len(patients)  # with all their images
    assert len([p for p in patients if int(p[1:]) < 20]) == positive
    assert len(patients) == positive + negative
    assert ids(share) == sorted(ids(share))


def test_smaller_share_is_part_of_a_larger_one():
    shares = [
        set(ids(select_share_of_patients(make_dataset_dicts(), fraction / 100, seed=3)))
        for fraction in range(3, 101)
    ]
    for smaller, larger in itertools.pairwise(shares):
        assert smaller <= larger


def test_choice_depends_on_the_label_seed_alone():
    dataset_dicts = make_dataset_dicts()
    share = select_share_of_patients(dataset_dicts, 0.2, seed=0)
    random.Random(1).shuffle(dataset_dicts)
    random.seed(5)
    assert sorted(ids(select_share_of_patients(dataset_dicts, 0.2, seed=0))) == ids(share)
    assert sorted(ids(select_share_of_patients(dataset_dicts, 0.2, seed=1))) != ids(share)


def test_choice_never_changes():
    share = select_share_of_patients(make_dataset_dicts(10, 5), 0.2, seed=0)
    assert sorted({x["patient_id"] for x in share}) == ["P2", "P7"]


def test_images_without_patient_are_chosen_singly():
    dataset_dicts = [{"image_id": i, "annotations": [{}] * (i % 2)} for i in range(10)]
    share = ids(select_share_of_patients(dataset_dicts, 0.4, seed=0))
    assert len(share) == 4
    assert len([i for i in share if i % 2]) == 2


def test_regions_to_ignore_are_no_lesions():
    dataset_dicts = [
        {"image_id": i, "annotations": [{"iscrowd": 1}] * (i % 2), "patient_id": i}
        for i in range(10)
    ]
    assert len(select_share_of_patients(dataset_dicts, 0.1, seed=0)) == 1  # of one group


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_fraction_out_of_range(fraction):
    with pytest.raises(InputError, match=f"label_fraction is {fraction}"):
        select_share_of_patients(make_dataset_dicts(), fraction, seed=0)


def test_share_without_lesions_is_refused():
    with pytest.raises(InputError, match=r"keeps 1 of 60 patients, and of those .* 0 of 20"):
        select_share_of_patients(make_dataset_dicts(), 0.02, seed=0)
    with pytest.raises(InputError, match=r"keeps 0 of 60 patients"):
        select_share_of_patients(make_dataset_dicts(with_lesions=0), 0.001, seed=0)


def test_loader_gives_the_share(coco_content, write_tree):
    for number, image in enumerate(coco_content["images"]):
        image["patient_id"] = f"P{number}"
    register_coco_dataset("label_fraction_test_set", *write_tree(coco_content), ["malignant"])
    try:
        options = {"mapper": dict, "total_batch_size": 1, "num_workers": 0, "seed": 0}
        loader = build_train_loader(
            dataset="label_fraction_test_set", label_fraction=0.5, label_seed=2, **options
        )
        # of 2 patients with lesions 1, of 1 without 1
        seen = {batch[0]["image_id"] for batch in itertools.islice(loader, 6)}
        assert loader.batches_per_epoch == len(seen) == 2
        assert 3 in seen
    finally:
        DatasetCatalog.remove("label_fraction_test_set")
        MetadataCatalog.remove("label_fraction_test_set")
