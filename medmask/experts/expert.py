"""Interface of a foundation model that teaches, and loading one by its name."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch

from medmask.checkpoint.timm_weights import PACKAGE, TIMM
from medmask.errors import InputError
from medmask.experts.open_clip_expert import OpenClipExpert
from medmask.experts.preprocessing import ExpertPreprocessing
from medmask.experts.timm_expert import TimmExpert


class Expert(Protocol):
    """A frozen model that embeds images, and perhaps patches and texts.

    Attributes:
        name: of the model.
        weights_sha256: hash of its weights, whatever file they came from.
        embedding_dim: D.
        patch_grid: (h, w, C) of its patch tokens; None where it offers none.
        logit_scale: its factor from cosine similarity to logit; None if it reads no texts.
        preprocessing: from an image to its input.
    """

    name: str
    weights_sha256: str
    embedding_dim: int
    patch_grid: tuple[int, int, int] | None
    preprocessing: ExpertPreprocessing

    @property
    def logit_scale(self) -> float | None: ...

    def encode_images(self, images: torch.Tensor) -> np.ndarray:
        """Embed (B, 3, height, width) images: (B, D) float32, length 1."""

    def encode_images_and_patches(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Embed images and their patches: (B, D), and (B, h, w, C) float32."""

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: (K, D) float32, length 1; only with a ``logit_scale``."""


def load_expert(
    name: str,
    checkpoint: str | None = None,
    device: str | torch.device = "cpu",
    image_size: tuple[int, int] | None = None,
    feature_stride: int | None = None,
) -> Expert:
    """Load an expert.

    Args:
        name: ``timm://NAME`` or ``package://NAME``, see :class:`TimmExpert`; anything else is a
            model of open_clip, see :class:`OpenClipExpert`.
        checkpoint: of the weights, likewise.
        device: where to compute.
        image_size: (height, width) of the input of a network of timm.
        feature_stride: of the patches of a network of timm.

    Raises:
        InputError: there is no such model, or an option does not fit it.
    """
    if name.startswith((TIMM, PACKAGE)):
        return TimmExpert(name, checkpoint, device, image_size, feature_stride)
    for option, value in (("image size", image_size), ("feature stride", feature_stride)):
        if value is not None:
            raise InputError(
                f"the {option} of expert '{name}' is its own: leave it out, or name a network of "
                f"timm as {TIMM}NAME"
            )
    return OpenClipExpert(name, checkpoint, device)
