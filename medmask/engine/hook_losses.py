"""Losses of loss hooks, which may be the user's own, beside those of the detector."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from medmask.errors import InputError
from medmask.stages.loss_hook import LossHook
from medmask.utils.shared_failure import raise_together

_PREFIX = "loss_"


def join_losses(losses: dict[str, Tensor], hook: LossHook, more: Any) -> dict[str, Tensor]:
    """Join the losses of a batch and those that a hook adds.

    Args:
        losses: so far.
        hook: which may be the user's own.
        more: what it gave.

    Raises:
        InputError: that is no dict of scalars, or one of them is not named as a loss, so that it
            could be taken for another metric, or has the name of another loss, which would get
            lost.
    """
    name = type(hook).__name__
    if not isinstance(more, Mapping):
        raise InputError(
            f"{name} gives its losses as {type(more).__name__}: return a dict of name -> loss, "
            "{} for none"
        )
    for key, loss in more.items():
        if not isinstance(loss, Tensor) or loss.dim():
            shape = f" of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else ""
            raise InputError(
                f"{name} gives {key} as {type(loss).__name__}{shape}: return a tensor without "
                "dimensions, such as a mean"
            )
        if not str(key).startswith(_PREFIX):
            raise InputError(
                f"{name} gives a loss {key}, but names of losses begin with {_PREFIX}: call it "
                f"{_PREFIX}{key}"
            )
        if key in losses:
            raise InputError(
                f"{name} gives a loss {key}, but another one of the run is called so: rename it"
            )
    return {**losses, **more}


def check_same_losses(everybody: Sequence[Mapping[str, float]]) -> None:
    """Check that all processes have the same losses, so that there is a mean of each.

    Args:
        everybody: the losses of each process.

    Raises:
        InputError: one lacks a loss that another has; in all processes.
    """
    names = set().union(*everybody)
    for rank, losses in enumerate(everybody):
        lacking = sorted(names - losses.keys())
        if lacking:
            raise_together(
                InputError(
                    f"process {rank} of {len(everybody)} has no {', '.join(lacking)} in this "
                    "iteration, but another has: a loss hook gives the same losses for every "
                    "batch, and where one does not apply, 0 * parameter.sum()"
                )
            )
