"""The training step of masked autoencoding: rebuild maps from the visible tokens.

The encoder is the detector's own; the detection decoder does not run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medmask.layers.visible_tokens import find_visible_tokens
from medmask.modeling import MedMask
from medmask.stages.masked_autoencoding.decoder import MaskedAutoencoder
from medmask.stages.masked_autoencoding.masking import MaskingStrategy, draw_scores

MakeTargets = Callable[[MedMask, Tensor, Mapping[str, Tensor], Mapping[str, Tensor]], Any]
"""Makes the maps to rebuild, {name: (N, C_i, h, w)}, from the detector, the normalized images
(N, 3, H, W), the backbone's maps of them, and the padding of those to rebuild"""


def own_maps(
    detector: MedMask,
    pixels: Tensor,
    features: Mapping[str, Tensor],
    padding: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Aim at the maps of the backbone that is trained, as they are."""
    return {name: features[name].detach() for name in padding}


@dataclass(frozen=True)
class ReconstructionStep:
    """Outputs of one batch. All maps are those of the autoencoder's targets, by name."""

    image_sizes: list[tuple[int, int]]
    """N unpadded sizes (height, width) in pixels"""
    padded_size: tuple[int, int]
    """(height, width) in pixels that the maps cover"""
    targets: Mapping[str, Tensor]
    """(N, C_i, h, w), without gradient"""
    reconstructions: Mapping[str, Tensor]
    """(N, C_i, h, w)"""
    masked: Mapping[str, Tensor]
    """(N, h, w) bool, True where the token of the target's level was masked"""
    padding: Mapping[str, Tensor]
    """(N, h, w) bool"""


def reconstruction_step(
    detector: MedMask,
    batched_inputs: list[dict[str, Any]],
    *,
    autoencoder: MaskedAutoencoder,
    masking: MaskingStrategy,
    mask_ratio: float,
    make_targets: MakeTargets = own_maps,
    trains_detector: bool = True,
) -> ReconstructionStep:
    """Mask tokens of a batch and rebuild the targets.

    Args:
        detector: whose encoder sees the visible tokens.
        batched_inputs: samples with ``image``; ``random_seed``, if there, decides the mask.
        autoencoder: rebuilds the maps; made for the detector.
        masking: chooses the tokens.
        mask_ratio: share of the unpadded tokens to mask, in [0, 1].
        make_targets: makes the maps to rebuild.
        trains_detector: whether gradients of the reconstruction reach the detector; without them
            the autoencoder alone is trained.
    """
    images = detector.preprocess_image(batched_inputs)
    with torch.set_grad_enabled(torch.is_grad_enabled() and trains_detector):
        features = detector.backbone(images.tensor)
        tokens = detector.make_tokens(detector.neck(features), images)
        padding = tokens.split_levels(tokens.padding_mask)
        sizes = [(level.shape[1], level.shape[2]) for level in padding]
        scores = draw_scores(sizes, [_generator(sample) for sample in batched_inputs])
        scores = [level.to(detector.device, non_blocking=True) for level in scores]
        masked = masking(padding, scores, mask_ratio)
        masked_tokens = torch.cat([level.flatten(1) for level in masked], dim=1)
        value_mask = masked_tokens | tokens.padding_mask
        visible_indices = find_visible_tokens(value_mask)
        memory = detector.transformer.encode(tokens, value_mask, visible_indices)
    levels = {name: target.level for name, target in autoencoder.targets.items()}
    target_padding = {name: padding[level] for name, level in levels.items()}
    with torch.no_grad():
        targets = make_targets(detector, images.tensor, features, target_padding)
    return ReconstructionStep(
        image_sizes=images.image_sizes,
        padded_size=tuple(images.tensor.shape[-2:]),
        targets=targets,
        reconstructions=autoencoder(memory, tokens, masked_tokens, visible_indices),
        masked={name: masked[level] for name, level in levels.items()},
        padding=target_padding,
    )


def _generator(sample: dict[str, Any]) -> torch.Generator | None:
    """Make the generator of a sample's mask; None is torch's default one."""
    if "random_seed" not in sample:
        return None
    return torch.Generator().manual_seed(sample["random_seed"])


def reconstruction_loss(step: ReconstructionStep, *, masked_only: bool) -> Tensor:
    """Compute the mean squared error of the unpadded positions.

    The mean is over channels and positions; first of each image, then over images and targets, so
    that it does not depend on how a batch is shared out among processes.

    Args:
        step: outputs of a batch.
        masked_only: whether only masked positions count.

    Returns:
        A scalar, float32.
    """
    losses = []
    for name, reconstruction in step.reconstructions.items():
        counted = ~step.padding[name]
        if masked_only:
            counted = counted & step.masked[name]
        losses.append(masked_mean_squared_error(reconstruction, step.targets[name], counted))
    return torch.stack(losses).mean()


def masked_mean_squared_error(reconstruction: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Compute the mean squared error over counted positions, image by image.

    Args:
        reconstruction: (N, C, h, w).
        target: (N, C, h, w).
        counted: (N, h, w) bool, True where the error counts; an image without any adds nothing.

    Returns:
        A scalar.
    """
    error = squared_error(reconstruction, target)
    per_image = (error * counted).sum((1, 2)) / counted.sum((1, 2)).clamp(min=1)
    return per_image.mean()


def squared_error(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Average the squared error over channels, in float32: (N, C, h, w) -> (N, h, w)."""
    return (reconstruction.float() - target.float()).square().mean(1)
