"""Stage 3 on phantoms: an expert's embeddings of the film images teach the detector.

They are made by tools/extract_expert_embeddings.py --dataset phantom_film_train --output
output/experts, of the expert that tools/train_phantom_expert.py trains.
"""

from detectron2.config import LazyCall as L

from medmask.stages.distillation import ExpertDistillationHook

from ...common.models.expert_distillation import expert_distillation as _expert_distillation
from .control_strong import dataloader, lr_multiplier, model, optimizer, train

model.training_modules = L("builtins.dict")(expert_distillation=_expert_distillation)
model.training_modules.expert_distillation.expert_dim = 64  # of the phantoms' expert
loss_hooks = dict(
    expert_distillation=L(ExpertDistillationHook)(
        stores=["output/experts/phantom_film_train"],
        missing="error",
    ),
)

train.output_dir = "output/phantom2ffdm/expert"
