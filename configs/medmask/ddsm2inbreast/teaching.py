"""Teaching of BCD-DDSM to INbreast: a teacher labels the INbreast images."""

from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "ddsm_train"
dataloader.test.dataset = "inbreast_val"
loss_hooks.masked_autoencoder.loader.dataset = "inbreast_train"
loss_hooks.teacher.loader.dataset = "inbreast_train"

train.init_checkpoint = "output/ddsm2inbreast/cross_domain/model_final.pth"
train.output_dir = "output/ddsm2inbreast/teaching"
