"""Stage 1 at full size: supervised training from ImageNet weights.

The published mammography runs start from weights of private images and so take 20 epochs; from
ImageNet it takes longer (D-MASTER: 100 epochs). 10,000 iterations are 60 epochs of BCD-DDSM.
"""

from ..data.mammography import dataloader
from ..models.medmask_r50 import model
from ..optimizer import optimizer
from ..schedule import step_schedule as lr_multiplier
from ..train import train

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.max_iter = 10000
train.clip_gradient_norm = 0.5  # as MRT, D-MASTER and MedMask
