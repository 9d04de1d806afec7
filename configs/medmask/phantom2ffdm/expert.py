"""Stage 3 on phantoms: an expert's embeddings of the film images teach the detector.

They are made by tools/extract_expert_embeddings.py --dataset phantom_film_train --output
output/experts, of the expert that tools/train_phantom_expert.py trains.
"""

from ...common.loss_hooks.expert_distillation import expert_distillation as _hook
from .control_strong import dataloader, lr_multiplier, model, optimizer, train

loss_hooks = dict(expert_distillation=_hook)
loss_hooks["expert_distillation"].stores = ["output/experts/phantom_film_train"]

train.output_dir = "output/phantom2ffdm/expert"
