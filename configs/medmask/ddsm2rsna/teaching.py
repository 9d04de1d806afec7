"""Teaching of BCD-DDSM to RSNA-BSD1K: a teacher labels the RSNA-BSD1K images."""

from ...common.stages.teaching import dataloader, loss_hooks, lr_multiplier, model, optimizer, train

dataloader.train.dataset = "ddsm_train"
dataloader.test.dataset = "rsna_bsd1k_val"
loss_hooks.masked_autoencoder.loader.dataset = "rsna_bsd1k_train"
loss_hooks.teacher.loader.dataset = "rsna_bsd1k_train"

train.init_checkpoint = "output/ddsm2rsna/cross_domain/model_final.pth"
train.output_dir = "output/ddsm2rsna/teaching"
