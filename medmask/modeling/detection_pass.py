"""Supervised forward passes, and the losses that other parts of the method build on them.

A discriminator judges the features, and distillation the queries, that the supervised losses need
anyway. So these losses join the pass instead of repeating it: they get a :class:`DetectionPass`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from medmask.modeling.boxes import DetectionTarget
from medmask.modeling.matcher import Matches
from medmask.modeling.transformer import TransformerOutput

if TYPE_CHECKING:
    from medmask.modeling.meta_arch import MedMask


class Domain(enum.Enum):
    """Where the images of a pass come from."""

    SOURCE = "source"
    """labelled images"""
    TARGET = "target"
    """images of the hospital to adapt to, whose boxes are a teacher's guesses"""


@dataclass(frozen=True)
class DetectionPass:
    """What one supervised pass computed, with the graph of its gradients."""

    batched_inputs: list[dict[str, Any]]
    """the mapper's samples"""
    domain: Domain
    features: Mapping[str, Tensor]
    """the backbone's maps, {name: (N, C_i, h, w)}"""
    transformer: TransformerOutput
    targets: list[DetectionTarget]
    """one per image"""
    matches: Matches
    """which query of the last decoder layer answers for which target"""


PassLosses = Callable[["MedMask", DetectionPass], dict[str, Tensor]]
"""Weighted losses by name, computed from a pass."""


class DetectionObjective:
    """The supervised losses of a batch and the losses built on the same pass.

    An objective is what :meth:`MedMask.forward` computes in training; being called in there, all
    it does goes through whatever wraps the model for distributed training.
    """

    def __init__(
        self,
        domain: Domain = Domain.SOURCE,
        pass_losses: Sequence[PassLosses] = (),
        supervised_weight: float = 1.0,
        classes_only: bool = False,
    ) -> None:
        """Create the objective.

        Args:
            domain: of the batch; the losses of target images are named ``..._target``.
            pass_losses: what to add to the supervised losses.
            supervised_weight: factor on the supervised losses alone, such as that of boxes which
                are guesses.
            classes_only: whether only the classes of the boxes teach, not where they are.
        """
        self.domain = domain
        self.pass_losses = pass_losses
        self.supervised_weight = supervised_weight
        self.classes_only = classes_only

    def __call__(self, model: MedMask, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Weighted losses by name."""
        images = model.preprocess_image(batched_inputs)
        features, tokens = model.extract_features(images)
        output = model.transformer.detect(tokens)
        targets = model.prepare_targets(batched_inputs)
        losses, matches = model.criterion.match_and_penalise(
            output.decoder, targets, output.proposals, self.classes_only
        )
        losses = {name: self.supervised_weight * loss for name, loss in losses.items()}
        detection = DetectionPass(batched_inputs, self.domain, features, output, targets, matches)
        for pass_losses in self.pass_losses:
            losses = join_losses(losses, pass_losses(model, detection))
        if self.domain is Domain.TARGET:
            losses = {f"{name}_target": loss for name, loss in losses.items()}
        return losses


def join_losses(losses: dict[str, Tensor], more: dict[str, Tensor]) -> dict[str, Tensor]:
    """All losses of two dicts.

    Raises:
        ValueError: both have a loss of one name, so one would get lost.
    """
    both = losses.keys() & more.keys()
    if both:
        raise ValueError(f"two losses are called {', '.join(sorted(both))}: rename a hook's")
    return losses | more
