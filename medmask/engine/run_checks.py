"""Faults that a config shows before anything of the run is built."""

from collections.abc import Iterator

from detectron2.data import MetadataCatalog
from omegaconf import DictConfig, OmegaConf

from medmask.data.catalog import check_registered
from medmask.errors import InputError


def check_classes(config: DictConfig) -> None:
    """Check that the model has as many classes as each labelled data set that it meets.

    Args:
        config: of the run. A loader that does not name its data set is passed over.

    Raises:
        InputError: a data set is unknown or has another number of classes.
    """
    num_classes = OmegaConf.select(config, "model.transformer.num_classes")
    if num_classes is None:  # another kind of model
        return
    for key, name in _data_sets(config):
        check_registered(name)
        classes = MetadataCatalog.get(name).thing_classes
        if len(classes) != num_classes:
            raise InputError(
                f"{key} is {name}, which has {len(classes)} classes ({', '.join(classes)}), but "
                f"model.transformer.num_classes is {num_classes}: set it to {len(classes)}, or "
                "choose another data set"
            )


def _data_sets(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Config keys and names of the data sets whose labels are read."""
    hooks = config.get("loss_hooks") or {}
    keys = ["dataloader.train", "dataloader.test", *(f"loss_hooks.{h}.loader" for h in hooks)]
    for key in keys:
        names = OmegaConf.select(config, f"{key}.dataset") or []
        for name in [names] if isinstance(names, str) else names:
            yield f"{key}.dataset", name
