"""The average of models that were trained from one start, as one model.

A stage that goes on from a detector gains on what it is taught and may forget what it knew of other
images; between both weights, on the straight line, lie models that keep much of either (Wortsman et
al., "Robust fine-tuning of zero-shot models", CVPR 2022; of several such models: "Model soups",
ICML 2022). This holds as far as the models lie near each other; models of other initial weights do
not.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from medmask.checkpoint.start_weights import BACKBONE
from medmask.errors import InputError
from medmask.modeling.weights import COUNTER, check_weights, without_training_modules

FAR = 0.5
"""A distance, see :func:`weight_distance`, beyond which models hardly come from one start: stages
of some hundred steps are at 0.01 to 0.03, detectors of two seeds at 1.4."""


def average_weights(
    models: Mapping[str, Mapping[str, Tensor]], shares: Sequence[float] | None = None
) -> dict[str, Tensor]:
    """Average weights by name, in float64.

    What inference does not use (``training_modules``) is left out. BatchNorm's counters, which a
    model with frozen statistics lacks, become the largest.

    Args:
        models: source of the weights, for messages -> name -> tensor; at least two.
        shares: of the models, each above 0; they are divided by their sum. None for equal ones.

    Returns:
        Name -> tensor of the type of the first model.

    Raises:
        InputError: there are not two models or as many shares, a share is not above 0, or the
            names, shapes or kinds of numbers of two models differ, or a weight is not finite.
    """
    fractions = _fractions(shares, len(models))
    sources = {source: _without_counters(weights) for source, weights in models.items()}
    (first_source, first), *others = sources.items()
    check_weights(first, first, first_source)
    for source, weights in others:
        check_weights(weights, first, f"{source}, beside {first_source},")
    average = {
        name: _average([weights[name] for weights in sources.values()], fractions) for name in first
    }
    return average | _largest_counters(models.values())


def weight_distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """The norm of the difference of a tensor over its norm, the median over matrices and filters.

    The backbone does not count: detectors that start from ImageNet weights have nearly the same.

    Returns:
        0 for the same weights, about 1.4 for independent ones; NaN without a matrix.
    """
    ratios = []
    for name, tensor in without_training_modules(first).items():
        if tensor.ndim < 2 or name.startswith(BACKBONE):
            continue
        norm = tensor.double().norm().item()
        if norm:
            ratios.append((second[name].double() - tensor.double()).norm().item() / norm)
    return statistics.median(ratios) if ratios else math.nan


def _fractions(shares: Sequence[float] | None, num_models: int) -> list[float]:
    if num_models < 2:
        raise InputError("an average takes two models or more: name another one")
    if shares is None:
        return [1 / num_models] * num_models
    if len(shares) != num_models:
        raise InputError(f"{len(shares)} shares are given for {num_models} models: give one each")
    for share in shares:
        if not 0 < share < math.inf:
            raise InputError(f"share {share:g} is not above 0: leave that model out")
    total = math.fsum(shares)
    return [share / total for share in shares]


def _without_counters(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    of_inference = without_training_modules(weights)
    return {name: x for name, x in of_inference.items() if not name.endswith(COUNTER)}


def _largest_counters(models: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    largest: dict[str, Tensor] = {}
    for weights in models:
        for name, counter in without_training_modules(weights).items():
            if name.endswith(COUNTER):
                largest[name] = torch.maximum(largest.get(name, counter), counter)
    return largest


def _average(tensors: Sequence[Tensor], fractions: Sequence[float]) -> Tensor:
    total = torch.zeros_like(tensors[0], dtype=torch.float64)
    for tensor, fraction in zip(tensors, fractions, strict=True):
        total.add_(tensor.double(), alpha=fraction)
    return total.to(tensors[0].dtype)
