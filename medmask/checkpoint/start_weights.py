"""Choosing what a training run starts from among the weights of a file."""

from collections.abc import Mapping
from dataclasses import dataclass

from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts
from torch import Tensor

from medmask.errors import InputError
from medmask.modeling.weights import (
    CLASS_HEADS,
    COUNTER,
    TRAINING_MODULES,
    check_weights,
    find_faults,
    name_first,
)
from medmask.utils.counts import counted

BACKBONE = "backbone."


@dataclass(frozen=True)
class StartWeights:
    """Weights that are taken from a file."""

    weights: dict[str, Tensor]
    """name in the model -> value"""
    report: str
    """sentence on the parts that are taken, start anew, or are unused"""


def choose_start_weights(
    weights: Mapping[str, Tensor],
    model: Mapping[str, Tensor],
    source: str,
    *,
    only_part: str | None = None,
    fresh_class_heads: bool,
) -> StartWeights:
    """Take from a file what a training run starts from.

    A stage's part of ``training_modules`` is taken whole or starts anew; parts of other stages in
    the file are unused. All else must be in the file, but for

    * ``only_part``: all outside that part starts anew. Where the file's names are not the model's,
      they are matched by Detectron2's rules for backbones that know nothing of the detector around
      them;
    * ``fresh_class_heads``: class heads that are missing, or of another number of classes.

    Args:
        weights: of the file.
        model: the state dict to fill.
        source: of the weights, as the beginning of error messages.
        only_part: the beginning of the names of the one part that the file is of, such as
            :data:`BACKBONE`; None if it is of the whole model.
        fresh_class_heads: whether class heads may start anew.

    Raises:
        InputError: a parameter that must be in the file is missing, does not fit, or is unknown.
    """
    if only_part is not None:
        # counters of BatchNorm, which few such files have, start from zero like the rest
        expected = {
            name: x
            for name, x in model.items()
            if name.startswith(only_part) and not name.endswith(COUNTER)
        }
        has_names = any(name in expected for name in weights)
        aligned = weights if has_names else _match_names(weights, model, source)
        chosen = {name: x for name, x in aligned.items() if name in expected}
        num_unused = len(weights) - len(chosen)
        unused = [counted(num_unused, "other parameter")] if num_unused else []
    else:
        expected, unused = _expected_of_stage(weights, model)
        chosen = {n: x for n, x in weights.items() if n in expected or n not in model}
        chosen = {n: x for n, x in chosen.items() if _part(n) not in unused}
    if fresh_class_heads:
        expected = _without_class_heads(chosen, expected)
        chosen = {n: x for n, x in chosen.items() if n in expected or not n.startswith(CLASS_HEADS)}
    check_weights(chosen, expected, source)
    new_names = (n for n in model.keys() - expected.keys() if not n.endswith(COUNTER))
    anew = sorted({_part(name) for name in new_names})
    num_taken = len(chosen.keys() & model.keys())  # frozen BatchNorm has no use for counters
    return StartWeights(chosen, _report(num_taken, len(model), anew, unused))


def _match_names(
    weights: Mapping[str, Tensor], model: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Weights of a backbone under the model's names; those without a place keep theirs."""
    try:
        return align_and_update_state_dicts(dict(model), dict(weights), c2_conversion=False)
    except Exception:  # of any kind, and of many lines: names of any kind come in
        raise InputError(
            f"{source} has names ({name_first(list(weights))}) that cannot be matched to the "
            "model's backbone: name the weights of a backbone such as "
            "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
        ) from None


def _expected_of_stage(
    weights: Mapping[str, Tensor], model: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Split off what need not be in the file, and name its parts that are for other stages.

    A part of ``training_modules`` is one of them; see :func:`_part`.
    """
    in_file = {_part(name) for name in weights}
    in_model = {_part(name) for name in model}
    expected = {
        name: x
        for name, x in model.items()
        if not name.startswith(TRAINING_MODULES) or _part(name) in in_file
    }
    return expected, sorted(p for p in in_file - in_model if p.startswith(TRAINING_MODULES))


def _without_class_heads(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Drop the class heads from what must be in the file, if one of them does not fit."""
    heads = {name: x for name, x in expected.items() if name.startswith(CLASS_HEADS)}
    in_file = {name: x for name, x in weights.items() if name.startswith(CLASS_HEADS)}
    if not find_faults(in_file, heads):
        return dict(expected)
    return {name: x for name, x in expected.items() if name not in heads}


def _part(name: str) -> str:
    """The part of a model that a parameter is in: ``backbone``, ``training_modules.<name>``."""
    depth = 2 if name.startswith((TRAINING_MODULES, "transformer.")) else 1
    return ".".join(name.split(".")[:depth])


def _report(num_taken: int, num_model: int, anew: list[str], unused: list[str]) -> str:
    parts = [f"{num_taken} of the model's {num_model} parameters are taken"]
    if anew:
        parts.append(f"new are parts of {name_first(anew)}")
    if unused:
        parts.append(f"unused is {name_first(unused)} of the file")
    return "; ".join(parts)
