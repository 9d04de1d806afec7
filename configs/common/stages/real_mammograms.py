"""Stage 1 on real mammograms at a size for two CPU cores: what the benchmarks on them share."""

from ..data.real_mammograms import dataloader
from ..models.medmask_small import model
from ..optimizer import optimizer
from ..schedule import cosine_schedule as lr_multiplier
from ..train import train

optimizer.lr = 1e-3
optimizer.params.lr_factors = {"sampling_offsets": 0.1}

train.max_iter = 800
train.clip_gradient_norm = 1.0
train.ddp.broadcast_buffers = True
train.checkpointer.period = 0.25
train.eval_period = 0
train.best_metric = "froc/R@0.5"
