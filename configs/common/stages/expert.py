"""Stage 3 at full size: BiomedCLIP's embeddings of the labelled images teach the detector."""

from detectron2.config import LazyCall as L

from medmask.stages.distillation import ExpertDistillationHook

from ..models.expert_distillation import expert_distillation as _expert_distillation
from .later import dataloader, lr_multiplier, model, optimizer, train

model.training_modules = L("builtins.dict")(expert_distillation=_expert_distillation)
loss_hooks = dict(
    expert_distillation=L(ExpertDistillationHook)(stores="???", missing="error"),
)
