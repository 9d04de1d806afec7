"""Stage 3 on phantoms: an expert's embeddings of the film images teach the detector.

The store is made by tools/extract_expert_embeddings.py; stage 1 comes first.
"""

from detectron2.config import LazyCall as L

from medmask.engine import ExpertDistillationHook

from ...common.models.expert_distillation import expert_distillation as _expert_distillation
from ..phantom.source_only import dataloader, lr_multiplier, model, optimizer, train

model.training_modules = L("builtins.dict")(expert_distillation=_expert_distillation)
model.training_modules.expert_distillation.expert_dim = 64  # of the phantoms' expert
loss_hooks = dict(
    expert_distillation=L(ExpertDistillationHook)(
        stores=["output/experts/phantom_film_train"],
        missing="error",
    ),
)

dataloader.test.dataset = "phantom_ffdm_val"

optimizer.lr = 2e-4

train.init_checkpoint = "output/phantom2ffdm/source_only/model_final.pth"
train.output_dir = "output/phantom2ffdm/expert"
train.max_iter = 400
train.checkpointer.period = 100
train.eval_period = 200
