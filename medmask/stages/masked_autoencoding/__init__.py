"""Stage 2: masked autoencoding on unlabelled images, beside the supervised losses."""

from medmask.stages.masked_autoencoding.decoder import MaskedAutoencoder, ReconstructionTarget
from medmask.stages.masked_autoencoding.hook import MaskedAutoencoderHook
from medmask.stages.masked_autoencoding.mask_ratio import (
    ConstantMaskRatio,
    CosineMaskRatio,
    LossDrivenMaskRatio,
)
from medmask.stages.masked_autoencoding.objective import MaskedAutoencodingObjective

__all__ = [
    "ConstantMaskRatio",
    "CosineMaskRatio",
    "LossDrivenMaskRatio",
    "MaskedAutoencoder",
    "MaskedAutoencoderHook",
    "MaskedAutoencodingObjective",
    "ReconstructionTarget",
]
