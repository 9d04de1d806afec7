"""Properties of a file, written and read, and those that nobody should follow."""

import dataclasses
import json

import pytest

from medmask.data.breast import crops_to_breast
from medmask.errors import InputError
from medmask.export.metadata import ExportMetadata

METADATA = ExportMetadata(
    class_names=["benign", "malignant"],
    category_ids=[1, None],
    pixel_mean=[1.0, 2.0, 3.5],
    pixel_std=[1.0, 1.0, 1.0],
    test_augmentation={"short_edge_length": 96, "breast_crop": True, "pixel_spacing_mm": None},
    max_detections=30,
    nms_iou=0.5,
    weights_sha256="abc",
    config="def",
    versions={"torch": "2"},
    parity={"tolerance": 1e-4},
)


def test_what_is_written_is_read():
    properties = METADATA.to_properties()
    assert all(key.startswith("medmask.") for key in properties)
    assert all(isinstance(value, str) for value in properties.values())
    assert ExportMetadata.from_properties(properties, "it") == METADATA


def test_model_need_not_suppress():
    metadata = dataclasses.replace(METADATA, nms_iou=None)
    assert ExportMetadata.from_properties(metadata.to_properties(), "it") == metadata


def test_augmentation_is_that_of_the_arguments():
    assert crops_to_breast(METADATA.build_augmentation("it"))
    whole = dataclasses.replace(METADATA, test_augmentation={"short_edge_length": 96})
    assert not crops_to_breast(whole.build_augmentation("it"))


@pytest.mark.parametrize(
    "arguments", [{"unknown": 1}, {"short_edge_length": 0}], ids=["unknown", "range"]
)
def test_augmentation_of_other_arguments_is_refused(arguments):
    metadata = dataclasses.replace(METADATA, test_augmentation=arguments)
    with pytest.raises(InputError, match=r"model x has a property medmask\.test_augmentation"):
        metadata.build_augmentation("model x")


FAULTY = ("", "{", "[[", "null", '{"a": {"_target_": "os.system"}}', '[{"a": 1}]', "NaN", "-1")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (field.name, text)
        for field in dataclasses.fields(ExportMetadata)
        for text in FAULTY
        if (field.name, text) != ("nms_iou", "null")  # which is no suppression
    ],
)
def test_faulty_property_is_refused(name, text):
    properties = METADATA.to_properties() | {f"medmask.{name}": text}
    with pytest.raises(InputError, match=rf"model x has a faulty property medmask\.{name}"):
        ExportMetadata.from_properties(properties, "model x")


@pytest.mark.parametrize("name", ["pixel_mean", "parity"])
def test_number_that_no_float_holds_is_refused(name):
    number = "1" + "0" * 400
    text = f"[{number}]" if name == "pixel_mean" else f'{{"tolerance": {number}}}'
    properties = METADATA.to_properties() | {f"medmask.{name}": text}
    with pytest.raises(InputError, match=rf"model x has a faulty property medmask\.{name}"):
        ExportMetadata.from_properties(properties, "model x")


def test_file_without_properties_and_another_format_are_refused():
    with pytest.raises(InputError, match=r"lacks the property medmask\.format"):
        ExportMetadata.from_properties({}, "model x")
    properties = METADATA.to_properties()
    with pytest.raises(InputError, match="another format than 3"):
        ExportMetadata.from_properties(properties | {"medmask.format": "2"}, "model x")
    del properties["medmask.versions"]
    with pytest.raises(InputError, match=r"lacks the property medmask\.versions"):
        ExportMetadata.from_properties(properties, "model x")


def test_ids_are_as_many_as_names():
    properties = METADATA.to_properties() | {"medmask.category_ids": json.dumps([1])}
    with pytest.raises(InputError, match="category_ids"):
        ExportMetadata.from_properties(properties, "model x")
