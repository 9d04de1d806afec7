"""Stage 1 on RSNA-BSD1K: supervised training at full size, from ImageNet weights."""

from ...common.data.mammography import dataloader
from ...common.models.medmask_r50 import model
from ...common.optimizer import optimizer
from ...common.schedule import step_schedule as lr_multiplier
from ...common.train import train

dataloader.train.dataset = "rsna_bsd1k_train"
dataloader.test.dataset = "rsna_bsd1k_val"

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.output_dir = "output/rsna_bsd1k/source_only"
train.max_iter = 10000
train.checkpointer.period = 1000
train.eval_period = 1000
