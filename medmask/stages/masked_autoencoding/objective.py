"""What a masked autoencoding pass of the detector computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from medmask.errors import InputError
from medmask.layers.visible_tokens import find_visible_tokens
from medmask.stages.masked_autoencoding.decoder import MaskedAutoencoder
from medmask.stages.masked_autoencoding.masking import MASKING_STRATEGIES, draw_scores

if TYPE_CHECKING:
    from medmask.modeling.meta_arch import MedMask

SCOPES = ("hidden", "all")


@dataclass(frozen=True)
class MaskedAutoencodingPass:
    """What one pass computed. All maps are those of the autoencoder's targets, by name."""

    image_sizes: list[tuple[int, int]]
    """N unpadded sizes (height, width) in pixels"""
    padded_size: tuple[int, int]
    """(height, width) in pixels that the maps cover"""
    targets: Mapping[str, Tensor]
    """(N, C_i, h, w), without gradient"""
    reconstructions: Mapping[str, Tensor]
    """(N, C_i, h, w)"""
    hidden: Mapping[str, Tensor]
    """(N, h, w) bool, True where the target's level was hidden from the encoder"""
    padding: Mapping[str, Tensor]
    """(N, h, w) bool"""


class MaskedAutoencodingObjective:
    """Rebuild backbone maps from what a random mask leaves of the tokens.

    The encoder is the detector's own; the detection decoder does not run. The loss is the mean
    squared error over channels and positions; first of each image, then over images and targets,
    so that it does not depend on how a batch is shared out among processes.
    """

    def __init__(
        self,
        autoencoder: MaskedAutoencoder,
        *,
        masking: str,
        mask_ratio: float,
        scope: str = "hidden",
        weight: float = 1.0,
    ) -> None:
        """Create the objective.

        Args:
            autoencoder: rebuilds the maps; made for the detector.
            masking: how tokens are chosen: ``"independent"`` on each level, or ``"aligned"``.
            mask_ratio: share of the unpadded tokens to hide, in [0, 1].
            scope: positions that count: ``"hidden"`` ones or ``"all"``; padding never does.
            weight: of the loss.

        Raises:
            InputError: there is no such strategy or scope.
        """
        if masking not in MASKING_STRATEGIES:
            raise InputError(f"masking is {masking!r}; choose one of {sorted(MASKING_STRATEGIES)}")
        if scope not in SCOPES:
            raise InputError(f"scope is {scope!r}; choose one of {sorted(SCOPES)}")
        self.autoencoder = autoencoder
        self.mask = MASKING_STRATEGIES[masking]
        self.mask_ratio = mask_ratio
        self.scope = scope
        self.weight = weight

    def __call__(self, model: MedMask, batched_inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """The weighted loss, ``loss_mae``."""
        result = self.reconstruct(model, batched_inputs)
        losses = []
        for name, reconstruction in result.reconstructions.items():
            counted = ~result.padding[name]
            if self.scope == "hidden":
                counted = counted & result.hidden[name]
            losses.append(reconstruction_loss(reconstruction, result.targets[name], counted))
        return {"loss_mae": self.weight * torch.stack(losses).mean()}

    def reconstruct(
        self, model: MedMask, batched_inputs: list[dict[str, Any]]
    ) -> MaskedAutoencodingPass:
        """Hide tokens of a batch and rebuild the targets.

        Args:
            model: the detector.
            batched_inputs: samples with ``image``; ``random_seed``, if there, decides the mask.
        """
        images = model.preprocess_image(batched_inputs)
        features, tokens = model.extract_features(images)
        padding = tokens.split_levels(tokens.padding_mask)
        sizes = [tuple(level.shape[1:]) for level in padding]
        scores = draw_scores(sizes, [_generator(sample) for sample in batched_inputs])
        scores = [level.to(model.device, non_blocking=True) for level in scores]
        hidden = self.mask(padding, scores, self.mask_ratio)
        hidden_tokens = torch.cat([level.flatten(1) for level in hidden], dim=1)
        value_mask = hidden_tokens | tokens.padding_mask
        visible_indices = find_visible_tokens(value_mask)
        memory = model.transformer.encode(tokens, value_mask, visible_indices)
        levels = {name: target.level for name, target in self.autoencoder.targets.items()}
        return MaskedAutoencodingPass(
            image_sizes=images.image_sizes,
            padded_size=tuple(images.tensor.shape[-2:]),
            targets={name: features[name].detach() for name in levels},
            reconstructions=self.autoencoder(memory, tokens, hidden_tokens, visible_indices),
            hidden={name: hidden[level] for name, level in levels.items()},
            padding={name: padding[level] for name, level in levels.items()},
        )


def _generator(sample: dict[str, Any]) -> torch.Generator | None:
    """What draws the mask of a sample; None is torch's default generator."""
    if "random_seed" not in sample:
        return None
    return torch.Generator().manual_seed(sample["random_seed"])


def reconstruction_loss(reconstruction: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Mean squared error.

    Args:
        reconstruction: (N, C, h, w).
        target: (N, C, h, w).
        counted: (N, h, w) bool, True where the error counts; an image without any adds nothing.
    """
    error = squared_error(reconstruction, target)
    per_image = (error * counted).sum((1, 2)) / counted.sum((1, 2)).clamp(min=1)
    return per_image.mean()


def squared_error(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean over channels of the squared error, in float32: (N, C, h, w) -> (N, h, w)."""
    return (reconstruction.float() - target.float()).square().mean(1)
