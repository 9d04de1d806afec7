"""Facts of the data sets of the runs: sizes, lesions, and how patients divide."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog

from medmask.data.catalog import check_registered
from medmask.data.dataset_dicts import box_corners, patient_of
from medmask.errors import InputError
from medmask.report.evaluated_run import EvaluatedRun, Unevaluated
from medmask.report.html import Content, Markup, join
from medmask.report.run_files import RunFiles
from medmask.report.section import Section, decimal, fold, missing, note, table

_PARTS = ("dataloader.train", "dataloader.unlabeled", "dataloader.unlabeled_pairs")
_MOST_VALUES = 12
_QUANTILES = (0.05, 0.5, 0.95)
_NO_FACTS = frozenset({"file_name", "annotations", "image_id", "height", "width", "patient_id"})


@dataclass(frozen=True)
class DatasetFacts:
    """Counts of a data set.

    Attributes:
        name: of the set.
        images: all of them.
        images_with_lesions: those with a lesion that counts.
        lesions: boxes that are no crowds.
        patients: by name; an image without a patient is one of its own.
        box_sides: (N,) square root of the area of each lesion's box, in pixels.
        image_sizes: how many images there are of each (width, height).
        values: of each field of the image records with few values, how many images have each.
    """

    name: str
    images: int
    images_with_lesions: int
    lesions: int
    patients: frozenset[str]
    box_sides: np.ndarray
    image_sizes: Counter[tuple[int, int]]
    values: Mapping[str, Counter[str]]


def describe_dataset(name: str, dataset_dicts: Sequence[Mapping[str, Any]]) -> DatasetFacts:
    """Count what is in a data set."""
    of_images = [
        [each for each in record.get("annotations", []) if not each.get("iscrowd", 0)]
        for record in dataset_dicts
    ]
    boxes = box_corners([annotation for each in of_images for annotation in each])
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(min=0)
    values: dict[str, Counter[str]] = {}
    for record in dataset_dicts:
        for key, value in record.items():
            if key not in _NO_FACTS and isinstance(value, bool | int | float | str):
                values.setdefault(key, Counter())[str(value)] += 1
    return DatasetFacts(
        name=name,
        images=len(dataset_dicts),
        images_with_lesions=sum(bool(each) for each in of_images),
        lesions=len(boxes),
        patients=frozenset(patient_of(dict(record)) for record in dataset_dicts),
        box_sides=np.sqrt(sides.prod(axis=1)),
        image_sizes=Counter((record["width"], record["height"]) for record in dataset_dicts),
        values={key: each for key, each in values.items() if len(each) <= _MOST_VALUES},
    )


def data_section(
    runs: Sequence[RunFiles], evaluated: Sequence[EvaluatedRun | Unevaluated]
) -> Section:
    """Facts of the sets that were tested on and, where the configs name them, trained on."""
    facts: dict[str, DatasetFacts] = {}
    tested = {each.dataset for each in evaluated if isinstance(each, EvaluatedRun)}
    for each in evaluated:
        if isinstance(each, EvaluatedRun) and each.dataset not in facts:
            facts[each.dataset] = describe_dataset(each.dataset, each.dataset_dicts)
    absent = [
        f"{run.label} means other files by {name} than another run or the --config-file: report on "
        "it by itself"
        for run in runs
        for name in sorted(run.ambiguous_datasets)
    ]
    trained = {name for run in runs for part in _PARTS for name in run.datasets(part)}
    for name in sorted(trained - facts.keys()):
        try:
            check_registered(name)
            facts[name] = describe_dataset(name, DatasetCatalog.get(name))
        except InputError as error:
            absent.append(f"{name}, which a run was trained on, cannot be described: {error}")
    parts: list[Content] = [missing(sentence) for sentence in absent]
    if facts:
        parts.append(_facts_table(list(facts.values()), tested, trained))
        parts += [note(sentence) for sentence in _shared_patients(facts, tested, trained)]
        parts += [_fields(each) for each in facts.values()]
    elif not absent:
        parts.append(
            missing("No data set is named: give the one of the detections with --dataset NAME")
        )
    return Section("Data", "data", join(parts))


def _facts_table(facts: Sequence[DatasetFacts], tested: set[str], trained: set[str]) -> Markup:
    rows = []
    for each in facts:
        uses = [
            use for use, names in (("test", tested), ("training", trained)) if each.name in names
        ]
        sides = np.quantile(each.box_sides, _QUANTILES) if each.lesions else [np.nan] * 3
        (width, height), count = each.image_sizes.most_common(1)[0]
        size = f"{width} × {height}" + ("" if count == each.images else " and others")
        rows.append(
            (
                each.name,
                ", ".join(uses),
                each.images,
                each.images_with_lesions,
                each.lesions,
                len(each.patients),
                size,
                " / ".join(decimal(side, 0) for side in sides),
            )
        )
    header = ["data set", "use", "images", "with lesions", "lesions", "patients", "image size"]
    return table([*header, "lesion side, 5 / 50 / 95%"], rows, num_texts=2)


def _shared_patients(
    facts: Mapping[str, DatasetFacts], tested: set[str], trained: set[str]
) -> list[str]:
    """Say whether the same patients were trained and tested on."""
    sentences = []
    for test in sorted(tested & facts.keys()):
        for other in sorted((trained & facts.keys()) - {test}):
            if _known_patients(facts[test]):
                shared = _known_patients(facts[test]) & _known_patients(facts[other])
                sentences.append(
                    f"Patients of both {other} and {test}, by their ids: {len(shared)}."
                )
    sentences += [
        f"{name} was both trained and tested on: its results do not tell of new patients."
        for name in sorted(tested & trained)
    ]
    return sentences


def _known_patients(facts: DatasetFacts) -> set[str]:
    """Those with an id; an image without a patient is named by its own, which another set has."""
    return {name for name in facts.patients if name.startswith("patient ")}


def _fields(facts: DatasetFacts) -> Markup | None:
    """Values of the image records, such as views and sides."""
    if not facts.values:
        return None
    rows = [
        (key, ", ".join(f"{value}: {count}" for value, count in counts.most_common()))
        for key, counts in sorted(facts.values.items())
    ]
    return fold(
        f"What the images of {facts.name} say of themselves",
        table(["field", "images of each value"], rows, num_texts=2),
    )
