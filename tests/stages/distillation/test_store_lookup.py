import logging
import os

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from expert_image_set import (
    BOXES,
    DIM,
    image_embedding,
    lesion_embedding,
    write_images,
    write_store,
)
from PIL import Image

from medmask.data import register_coco_dataset
from medmask.errors import InputError
from medmask.experts import ExpertStore
from medmask.modeling.matcher import Matches
from medmask.stages.distillation.store_lookup import ExpertLookup

KEY = "loss_hooks.clip_distillation"


def make_sample(record, annotations=()):
    """A sample whose instances are these annotations of the record."""
    instances = Instances((64, 56))
    instances.gt_boxes = Boxes(torch.zeros(len(annotations), 4))
    instances.gt_annotation_index = torch.tensor(annotations, dtype=torch.int64)
    return {"file_name": record["file_name"], "instances": instances}


def make_lookup(stores, records, skip_missing=False):
    return ExpertLookup([ExpertStore(store) for store in stores], records, KEY, skip_missing)


def test_images_and_lesions_get_their_own_embeddings(records, store):
    lookup = make_lookup([store], records)
    samples = [make_sample(records[4], [1, 0]), make_sample(records[2])]
    samples.append(make_sample(records[1], [2]))
    images = lookup.image_embeddings(samples)
    assert images.index.tolist() == [0, 1, 2]
    np.testing.assert_allclose(images.embeddings, [image_embedding(i) for i in (4, 2, 1)], 1e-6)
    matches = Matches(*torch.tensor([[0, 0, 2], [7, 3, 5], [0, 1, 0]]))
    lesions = lookup.lesion_embeddings(samples, matches)
    assert lesions.index.tolist() == [0, 1, 2]
    expected = [lesion_embedding(4, 1), lesion_embedding(4, 0), lesion_embedding(1, 2)]
    np.testing.assert_allclose(lesions.embeddings, expected, 1e-6)


def test_every_image_and_every_annotation_has_its_own_key(records, store):
    lookup = make_lookup([store], records)
    image_keys, lesion_keys = [], []
    for record, boxes in zip(records, BOXES, strict=True):
        sample = make_sample(record, list(range(len(boxes))))
        image_keys += lookup.image_embeddings([sample]).keys.tolist()
        zeros = torch.zeros(len(boxes), dtype=torch.int64)
        matches = Matches(zeros, zeros, torch.arange(len(boxes)))
        lesion_keys += lookup.lesion_embeddings([sample], matches).keys.tolist()
    assert len(set(image_keys)) == len(BOXES)
    assert len(set(lesion_keys)) == sum(map(len, BOXES)) == len(lesion_keys)


def test_images_and_lesions_of_a_patient_share_a_key_unless_they_are_negatives(records, store):
    for record, patient in zip(records, "aabcb", strict=True):
        record["patient_id"] = patient
    lookup = ExpertLookup([ExpertStore(store)], records, KEY, False, same_patient_negatives=False)
    samples = [make_sample(record, [0] * len(BOXES[i])) for i, record in enumerate(records)]
    assert lookup.image_embeddings(samples).keys.tolist() == [0, 0, 1, 2, 1]
    matches = Matches(*torch.tensor([[0, 1, 4], [0, 0, 0], [0, 0, 0]]))
    assert lookup.lesion_embeddings(samples, matches).keys.tolist() == [0, 0, 1]


def test_batch_without_lesions_has_empty_embeddings(records, store):
    empty = torch.empty(0, dtype=torch.int64)
    lesions = make_lookup([store], records).lesion_embeddings(
        [make_sample(records[2])], Matches(empty, empty, empty)
    )
    assert lesions.embeddings.shape == (0, DIM)
    assert lesions.keys.dtype == lesions.index.dtype == torch.int64


def test_content_tells_data_sets_with_equal_ids_apart(tmp_path, records, store):
    register_coco_dataset("other", *write_images(tmp_path / "other", scanner=1), ["malignant"])
    try:
        others = DatasetCatalog.get("other")
    finally:
        DatasetCatalog.remove("other")
        MetadataCatalog.remove("other")
    other_store = write_store(tmp_path / "other_store", others, scanner=1)
    for stores in ([store, other_store], [other_store, store]):
        lookup = make_lookup(stores, records + others)
        images = lookup.image_embeddings([make_sample(others[3]), make_sample(records[3])])
        expected = [image_embedding(3, scanner=1), image_embedding(3)]
        np.testing.assert_allclose(images.embeddings, expected, 1e-6)
        assert len(set(images.keys.tolist())) == 2


def test_missing_image_is_named(tmp_path, records):
    store = write_store(tmp_path / "partial", [records[i] for i in (0, 2, 4)])
    words = rf"^2 training images are not in .*partial.*: 1 .*; 3 .* {KEY}\.missing=skip"
    with pytest.raises(InputError, match=words):
        make_lookup([store], records)


def test_missing_image_is_skipped_and_counted(tmp_path, records, caplog):
    store = write_store(tmp_path / "partial", [records[i] for i in (0, 2, 4)])
    with caplog.at_level(logging.WARNING, "medmask"):
        lookup = make_lookup([store], records, skip_missing=True)
    assert "2 training images are not in the expert stores" in caplog.text
    samples = [make_sample(records[1], [0, 2]), make_sample(records[4], [0])]
    images = lookup.image_embeddings(samples)
    assert images.index.tolist() == [1]
    np.testing.assert_allclose(images.embeddings, [image_embedding(4)], 1e-6)
    matches = Matches(*torch.tensor([[0, 1, 0], [0, 0, 1], [0, 0, 1]]))
    lesions = lookup.lesion_embeddings(samples, matches)
    assert lesions.index.tolist() == [1]
    np.testing.assert_allclose(lesions.embeddings, [lesion_embedding(4, 0)], 1e-6)


def test_nothing_is_left_when_all_are_missing(tmp_path, records):
    store = write_store(tmp_path / "partial", records[:1])
    with pytest.raises(InputError, match="4 training images are not in"):
        make_lookup([store], records[1:], skip_missing=True)


@pytest.mark.parametrize("skip_missing", [False, True])
def test_changed_image_is_an_error(records, store, skip_missing):
    path = records[3]["file_name"]
    Image.fromarray(np.zeros((64, 56), np.uint8)).save(path)
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match=rf"3\.png\) has another content.* \({KEY}\.stores must"):
        make_lookup([store], records, skip_missing)


def test_image_that_was_not_looked_up_is_an_error(records, store):
    lookup = make_lookup([store], records[:4])
    with pytest.raises(InputError, match=r"4\.png is trained on"):
        lookup.image_embeddings([make_sample(records[4])])


def test_mapper_must_tell_which_annotations_instances_are(records, store):
    sample = make_sample(records[0], [0])
    sample["instances"].remove("gt_annotation_index")
    matches = Matches(*torch.zeros(3, 1, dtype=torch.int64))
    with pytest.raises(InputError, match=r"instances\.gt_annotation_index"):
        make_lookup([store], records).lesion_embeddings([sample], matches)
