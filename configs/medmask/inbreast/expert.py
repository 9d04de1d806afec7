"""Stage 3 on INbreast: BiomedCLIP teaches the detector of stage 2."""

from ...common.stages.expert import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "inbreast_train"
dataloader.test.dataset = "inbreast_val"
loss_hooks.expert_distillation.stores = ["output/experts/biomedclip/inbreast_train"]

train.init_checkpoint = "output/inbreast/cross_domain/model_best.pth"
train.output_dir = "output/inbreast/expert"
