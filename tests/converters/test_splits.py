"""Splits and folds by patient."""

import hashlib
from pathlib import Path

import pytest

from medmask.converters.contract import Lesion, SourceImage
from medmask.converters.splits import assign_splits, deal_folds
from medmask.errors import InputError


def image(name, patient=None, split=None, lesions=()):
    return SourceImage(Path(name), name, patient_id=patient, split=split, lesions=lesions)


def test_shares_by_hash():
    images = [image(f"{p}_{view}", f"p{p}") for p in range(2000) for view in ("CC", "MLO")]
    splits, how = assign_splits(images, seed=0)
    shares = [list(splits.values()).count(each) / 4000 for each in ("train", "val", "test")]
    assert shares == pytest.approx([0.6, 0.15, 0.25], abs=0.03)
    assert all(splits[f"{p}_CC"] == splits[f"{p}_MLO"] for p in range(2000))
    assert "60 / 15 / 25" in how
    assert splits != assign_splits(images, seed=1)[0]
    assert splits == assign_splits(images[::-1], seed=0)[0]


def test_images_without_a_patient_are_patients_of_their_own():
    splits, _ = assign_splits([image(str(n)) for n in range(200)], seed=0)
    assert set(splits.values()) == {"train", "val", "test"}


def test_own_splits_are_kept():
    images = [image("a", "1", "train"), image("b", "2", "val"), image("c", "3", "test")]
    splits, how = assign_splits(images, seed=0)
    assert splits == {"a": "train", "b": "val", "c": "test"}
    assert how == "the set's own"


def test_patients_of_several_splits_go_to_the_last():
    images = [image("a", "1", "train"), image("b", "1", "test"), image("c", "2", "val")]
    splits, how = assign_splits(images, seed=0)
    assert splits == {"a": "test", "b": "test", "c": "val"}
    assert "patient in several of them (1 patient)" in how


def test_a_set_without_val_gives_a_fifth_of_train():
    images = [image(str(n), str(n), "test" if n < 500 else "train") for n in range(2000)]
    splits, how = assign_splits(images, seed=0)
    assert all(splits[str(n)] == "test" for n in range(500))
    assert abs(list(splits.values()).count("val") / 1500 - 0.2) < 0.03
    assert "20 percent of the training patients" in how


def test_folds_have_equal_shares_of_patients_with_lesions():
    lesion = (Lesion(box=(0, 0, 1, 1)),)
    images = [image(str(n), f"p{n}", lesions=lesion if n < 12 else ()) for n in range(53)]
    folds = deal_folds(images, 5, seed=0)
    for chosen, least, most in ((range(12), 2, 3), (range(53), 10, 11)):
        counts = [sum(folds[str(n)] == fold for n in chosen) for fold in range(5)]
        assert all(least <= count <= most for count in counts)


def test_folds_are_dealt_by_a_hash_of_seed_and_patient():
    """Those of published figures: another rule would be another comparison."""
    lesion = (Lesion(box=(0, 0, 1, 1)),)
    images = [
        image(f"{p}_{v}", f"p{p}", lesions=lesion if p < 7 else ()) for p in range(23) for v in "ab"
    ]
    for seed in (0, 1):
        hashes = {p: hashlib.sha256(f"{seed} p{p}".encode()).hexdigest() for p in range(23)}
        order = sorted(range(7), key=hashes.get) + sorted(range(7, 23), key=hashes.get)
        expected = {f"{p}_{v}": i % 5 for i, p in enumerate(order) for v in "ab"}
        assert deal_folds(images, 5, seed) == deal_folds(images[::-1], 5, seed) == expected


def test_more_folds_than_patients():
    with pytest.raises(InputError, match="3 folds need as many patients, but there are 2"):
        deal_folds([image("a", "1"), image("b", "1"), image("c", "2")], 3, seed=0)
