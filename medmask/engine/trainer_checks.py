"""Checks of the parts that a trainer is given."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from medmask.data.loaders import ResumableLoader
from medmask.errors import InputError
from medmask.stages.loss_hook import LossHook


def check_loader(loader: Any) -> None:
    """Check that batches of any iteration can be asked for.

    Raises:
        InputError: they cannot, as of Detectron2's own loaders.
    """
    if not isinstance(loader, ResumableLoader):
        raise InputError(
            f"the loader is a {type(loader).__name__}, which cannot begin at any iteration: take "
            "medmask.data.build_train_loader, whose mapper may be Detectron2's DatasetMapper"
        )


def check_loss_hooks(loss_hooks: Sequence[LossHook]) -> None:
    """Check that a run can have these hooks together.

    Raises:
        InputError: two of them would share a module or a state.
    """
    # Hooks that each train a module of another name are apart in checkpoints; their states, which
    # Detectron2 keeps by the names of classes, are not.
    kinds = Counter((type(hook), getattr(hook, "module_name", "")) for hook in loss_hooks)
    names = Counter(type(hook).__qualname__ for hook in loss_hooks)
    for hook in loss_hooks:
        kind, name = (type(hook), getattr(hook, "module_name", "")), type(hook).__qualname__
        if kinds[kind] > 1 or (names[name] > 1 and hook.state_dict()):
            raise InputError(f"loss_hooks holds {names[name]} of {name}; a run can have one")
