"""Facts on the images that a run learns from with boxes, for its log."""

import logging
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from medmask.data.dataset_dicts import has_lesions, patient_of
from medmask.data.loaders import TrainLoader, load_dataset_dicts
from medmask.data.split_names import Relation, SplitName
from medmask.utils.counts import counted

logger = logging.getLogger(__name__)


def tell_of_labeled_images(loader: TrainLoader, config: DictConfig) -> None:
    """Log how often the run sees its images, and warn of what makes its results worthless.

    Args:
        loader: of the images.
        config: of the run.
    """
    options, records = config.train, loader.stream.dataset_dicts
    batches = options.max_iter * options.gradient_accumulation
    epochs = batches / loader.batches_per_epoch
    logger.info(f"{counted(options.max_iter, 'iteration')}: {epochs:.1f} epochs of labeled images.")
    if not any(map(has_lesions, records)):
        logger.warning(
            "No image of dataloader.train.dataset has a lesion, so the detector learns that "
            "there are none: name a set with boxes."
        )
    for test in _names(config.dataloader.test.dataset):
        _warn_of_shared_images(_names(config.dataloader.train.dataset), records, test)


def _names(datasets: str | Sequence[str]) -> list[str]:
    return [datasets] if isinstance(datasets, str) else list(datasets)


def _warn_of_shared_images(
    trained: Sequence[str], records: Sequence[dict[str, Any]], test: str
) -> None:
    """Warn where a data set is tested on whose images, or patients, the run trains on.

    Args:
        trained: names of the data sets that are trained on.
        records: those of their images that the run sees.
        test: name of the data set.
    """
    tested = load_dataset_dicts(test)
    files = {record["file_name"] for record in records}
    images = sum(record["file_name"] in files for record in tested)
    patients = {_patient(record) for record in tested} - {None}
    shared: set[str | None] = set()
    for name in trained:
        # Ids of other sets are those of other patients.
        if SplitName.parse(name).relate(SplitName.parse(test)) is not Relation.STRANGERS:
            own = (x for x in load_dataset_dicts(name) if x["file_name"] in files)
            shared |= patients & {_patient(record) for record in own}
    if images or shared:
        logger.warning(
            f"The run trains on {images} of the {counted(len(tested), 'image')} of {test}, which "
            f"it is tested on, and on {len(shared)} of its {counted(len(patients), 'patient')}: "
            "the results do not tell of new patients. Name other sets in dataloader.train.dataset "
            "or dataloader.test.dataset."
        )


def _patient(record: dict[str, Any]) -> str | None:
    return patient_of(record) if record.get("patient_id") is not None else None
