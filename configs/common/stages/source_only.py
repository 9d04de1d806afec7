"""Stage 1 at full size: supervised training from ImageNet weights; a benchmark names its data."""

from ..data.mammography import dataloader
from ..models.medmask_r50 import model
from ..optimizer import optimizer
from ..schedule import step_schedule as lr_multiplier
from ..train import train

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.max_iter = 10000
train.checkpointer.period = 1000
train.eval_period = 1000
