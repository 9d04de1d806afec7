"""The control of phantom2ffdm: stage 1 continued, for as many steps as each later stage adds.

As in the full-size detector, BatchNorm is frozen in the later stages. Trained on, its statistics
would mix two scanners wherever a stage sees both, and fit neither.
"""

from ..phantom.source_only import dataloader, lr_multiplier, model, optimizer, train

dataloader.test.dataset = "phantom_ffdm_val"

model.backbone.norm = "FrozenBN"

optimizer.lr = 2e-4

train.init_checkpoint = "output/phantom2ffdm/source_only/model_final.pth"
train.output_dir = "output/phantom2ffdm/control"
train.max_iter = 400
