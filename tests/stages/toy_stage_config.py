"""Stage 1 on phantoms with the toy stage."""

from detectron2.config import LazyCall as L

from ...configs.medmask.phantom.source_only import (
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)
from .toy_stage import LesionCountHook

loss_hooks = dict(lesion_count=L(LesionCountHook)(weight=0.1))
train.output_dir = "output/phantom/lesion_count"
