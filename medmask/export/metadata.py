"""Facts that an exported file states: preprocessing, classes, and where it comes from."""

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from detectron2.data.transforms import AugmentationList

from medmask.data import build_test_augmentation
from medmask.errors import InputError

FORMAT = 3
"""Of the metadata and of the graph's inputs and outputs; a reader refuses others."""

_PREFIX = "medmask."


@dataclass(frozen=True)
class ExportMetadata:
    """Everything about a model that its graph does not say; each field is a property of the file.

    Attributes:
        class_names: in the order of the graph's classes.
        category_ids: of the annotation file; None where it is unknown.
        pixel_mean: of each channel. The graph subtracts it itself, so this informs only.
        pixel_std: likewise; the graph divides by it.
        test_augmentation: arguments of :func:`medmask.data.build_test_augmentation`: the resize,
            and the crop to the breast.
        max_detections: most detections of an image.
        nms_iou: of the model's non-maximum suppression, which the graph leaves to its caller; None
            for none.
        weights_sha256: of the file of weights.
        config: :func:`medmask.inference.config_identity.hash_detector_config` of the config.
        versions: of the packages that wrote the file, by name.
        parity: how far outputs may lie, and lay, from PyTorch's when it was written.
    """

    class_names: list[str]
    category_ids: list[int | None]
    pixel_mean: list[float]
    pixel_std: list[float]
    test_augmentation: dict[str, Any]
    max_detections: int
    nms_iou: float | None
    weights_sha256: str
    config: str
    versions: dict[str, str]
    parity: dict[str, float]

    def to_properties(self) -> dict[str, str]:
        """Name -> JSON, as a file of ONNX keeps it."""
        fields = {"format": FORMAT, **dataclasses.asdict(self)}
        return {f"{_PREFIX}{name}": json.dumps(value) for name, value in fields.items()}

    @classmethod
    def from_properties(cls, properties: Mapping[str, str], source: str) -> "ExportMetadata":
        """Read what :meth:`to_properties` made.

        Args:
            properties: of the file; nothing is assumed about them.
            source: the file, as the beginning of the error message.

        Raises:
            InputError: one is missing, of another format or faulty.
        """
        if _read(properties, "format", source) != FORMAT:
            raise InputError(
                f"{source} is of another format than {FORMAT}, which this version of medmask "
                "reads: export the model again"
            )
        fields = {}
        for field in dataclasses.fields(cls):
            fields[field.name] = _read(properties, field.name, source)
            if not _CHECKS[field.name](fields[field.name]):
                raise InputError(
                    f"{source} has a faulty property {_PREFIX}{field.name}: export the model again"
                )
        if len(fields["class_names"]) != len(fields["category_ids"]):
            raise InputError(
                f"{source} has another number of {_PREFIX}category_ids than of "
                f"{_PREFIX}class_names: export the model again"
            )
        return cls(**fields)

    def build_augmentation(self, source: str) -> AugmentationList:
        """Make the preprocessing of the test loader.

        Args:
            source: the file, as the beginning of the error message.

        Raises:
            InputError: its arguments are not those of this version.
        """
        try:
            return build_test_augmentation(**self.test_augmentation)
        except (TypeError, ValueError) as error:  # InputError is a ValueError
            raise InputError(
                f"{source} has a property {_PREFIX}test_augmentation that this version of medmask "
                f"cannot follow ({error}): export the model again"
            ) from None


def _read(properties: Mapping[str, str], name: str, source: str) -> Any:
    key = f"{_PREFIX}{name}"
    if key not in properties:
        raise InputError(
            f"{source} lacks the property {key}, so it is no file of `medmask export`: export the "
            "checkpoint by it"
        )
    try:
        return json.loads(properties[key])
    except (ValueError, RecursionError):
        raise InputError(f"{source} has a faulty property {key}: export the model again") from None


def _is_list_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _is_map_of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_setting(value: Any) -> bool:
    return value is None or type(value) is bool or _is_number(value)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "class_names": _is_list_of(_is_text),
    "category_ids": _is_list_of(lambda value: value is None or _is_integer(value)),
    "pixel_mean": _is_list_of(_is_number),
    "pixel_std": _is_list_of(_is_number),
    "test_augmentation": _is_map_of(_is_setting),
    "max_detections": lambda value: _is_integer(value) and value > 0,
    "nms_iou": lambda value: value is None or (_is_number(value) and 0 <= value <= 1),
    "weights_sha256": _is_text,
    "config": _is_text,
    "versions": _is_map_of(_is_text),
    "parity": _is_map_of(_is_number),
}
