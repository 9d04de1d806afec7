"""Stage 3 on BCD-DDSM: BiomedCLIP teaches the detector of stage 2."""

from ...common.stages.expert import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "ddsm_train"
dataloader.test.dataset = "ddsm_val"
loss_hooks.expert_distillation.stores = ["output/experts/biomedclip/ddsm_train"]

train.init_checkpoint = "output/ddsm/cross_domain/model_best.pth"
train.output_dir = "output/ddsm/expert"
