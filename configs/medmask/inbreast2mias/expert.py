"""Stage 3 of INbreast to mini-MIAS: an expert's embeddings of the labeled images.

They are made before, of BiomedCLIP or of the expert that tools/train_phantom_expert.py trains:

  python tools/extract_expert_embeddings.py --dataset inbreast_lesion_all --breast-crop \\
      --output output/experts
"""

from ...common.loss_hooks.expert_distillation import expert_distillation as _hook
from .control_strong import dataloader, datasets, loss_hooks, lr_multiplier, model, optimizer, train

loss_hooks.expert_distillation = _hook
loss_hooks.expert_distillation.stores = ["output/experts/${datasets.train}"]

train.output_dir = "output/inbreast2mias/expert"
