"""Names and category ids of a trained detector's classes."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from detectron2.data import DatasetCatalog, MetadataCatalog

from medmask.errors import InputError
from medmask.modeling import MedMask
from medmask.utils.counts import counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassLabels:
    """Names of C classes, in the order of the model's outputs.

    Attributes:
        names: C names.
        category_ids: C ids of a data set's annotation file, None where they are unknown.
    """

    names: tuple[str, ...]
    category_ids: tuple[int | None, ...]


def dataset_labels(dataset: str) -> ClassLabels:
    """Look up the classes of a registered data set.

    Raises:
        InputError: its annotation file, which gives the ids, is missing or faulty.
    """
    metadata = MetadataCatalog.get(dataset)
    names = tuple(metadata.thing_classes)
    # sets that other code registered count from 0, as Detectron2's evaluators take it
    ids = metadata.get("thing_dataset_id_to_contiguous_id") or {i: i for i in range(len(names))}
    by_class = {index: category_id for category_id, index in ids.items()}
    return ClassLabels(names, tuple(by_class.get(i) for i in range(len(names))))


def numbered_names(num_classes: int) -> tuple[str, ...]:
    """Names of classes of which no more is known."""
    return tuple(f"class {i}" for i in range(num_classes))


def find_class_labels(dataset: str | Sequence[str], model: MedMask) -> ClassLabels:
    """Name a model's classes by the data set of its run, as far as that is at hand.

    Images may be predicted on where the run's own data set is absent: then the ids are unknown,
    and if nobody registered the set here, so are the names, and classes are called by number.

    Args:
        dataset: name of the run's test set, or names of several with the same classes.
        model: the detector.

    Raises:
        InputError: the data set has another number of classes than the model.
    """
    num_classes = model.transformer.num_classes
    numbers = numbered_names(num_classes)
    name = dataset if isinstance(dataset, str) else next(iter(dataset))
    if name not in DatasetCatalog:
        logger.warning(
            "data set %s of the config is not registered here, so classes are called by number: "
            "name, with --config-file, the .py config that registers it",
            name,
        )
        return ClassLabels(numbers, (None,) * num_classes)
    try:
        labels = dataset_labels(name)
    except InputError as error:
        logger.info("detections get no category ids: %s", error)
        layout = getattr(MetadataCatalog.get(name), "layout", None)
        names = getattr(layout, "thing_classes", None) or numbers
        labels = ClassLabels(tuple(names), (None,) * len(names))
    if len(labels.names) != num_classes:
        raise InputError(
            f"the model has {counted(num_classes, 'class', 'classes')}, but data set '{name}' of "
            f"its config has {len(labels.names)} ({', '.join(labels.names)}): choose the config "
            "that the weights were trained with"
        )
    return labels
