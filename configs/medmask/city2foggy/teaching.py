"""Teaching of city2foggy: a teacher labels the Foggy Cityscapes images."""

from ...common.data.street_scenes import set_up_street_scenes
from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train
from ._benchmark import datasets, num_classes

set_up_street_scenes(dataloader, model, train, num_classes)

# MRT: 80 epochs of 2975 images, masked autoencoding for 10, retraining after 40, thresholds renewed
# once an epoch; pseudo boxes teach classes only
optimizer.lr = 2e-4
loss_hooks.masked_autoencoder.duration = 0.125
loss_hooks.teacher.teach_boxes = False
loss_hooks.teacher.threshold.update_period = 0.0125
loss_hooks.teacher.threshold.scale = 0.5
loss_hooks.teacher.threshold.highest = 0.45

train.max_iter = 29800
train.init_checkpoint = "output/city2foggy/cross_domain/model_final.pth"
train.output_dir = "output/city2foggy/teaching"
