"""Stage 1 on phantoms: train on film, a few minutes on two CPU cores."""

from ...common.data.phantom import dataloader
from ...common.models.medmask_small import model
from ...common.optimizer import optimizer
from ...common.schedule import cosine_schedule as lr_multiplier
from ...common.train import train

# From scratch, so the backbone learns at the full rate.
optimizer.lr = 1e-3
optimizer.params.lr_factors = {"sampling_offsets": 0.1}

train.output_dir = "output/phantom/source_only"
train.max_iter = 1000
train.clip_gradient_norm = 1.0
train.ddp.broadcast_buffers = True
train.checkpointer.period = 0.25
train.eval_period = 0.5
