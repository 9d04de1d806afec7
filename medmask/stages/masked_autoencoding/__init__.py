"""Stage 2: masked autoencoding on unlabeled images, beside the supervised losses."""

from medmask.stages.masked_autoencoding.decoder import MaskedAutoencoder
from medmask.stages.masked_autoencoding.hook import MaskedAutoencoderHook
from medmask.stages.masked_autoencoding.mask_ratio import (
    ConstantMaskRatio,
    CosineMaskRatio,
    LossDrivenMaskRatio,
    MaskRatioSchedule,
)

__all__ = [
    "ConstantMaskRatio",
    "CosineMaskRatio",
    "LossDrivenMaskRatio",
    "MaskRatioSchedule",
    "MaskedAutoencoder",
    "MaskedAutoencoderHook",
]
