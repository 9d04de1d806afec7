"""Denoising of noised ground-truth boxes beside detection."""

from detectron2.config import LazyCall as L

from medmask.stages.denoising import BoxNoise, DenoisingHook

denoising = L(DenoisingHook)(
    noise=L(BoxNoise)(num_groups=8, shift=0.25, log_scale=0.4, far=True),
    weight=1.0,
)
