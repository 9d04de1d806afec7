"""Stage 2 on phantoms: labelled film, and masked autoencoding of unlabelled ffdm images."""

from detectron2.config import LazyCall as L

from ...common.data.unlabelled_phantom import unlabelled as _unlabelled
from ...common.loss_hooks.masked_autoencoder import masked_autoencoder as _hook
from ...common.models.masked_autoencoder import masked_autoencoder as _masked_autoencoder
from .control_strong import dataloader, lr_multiplier, model, optimizer, train

model.training_modules = L("builtins.dict")(masked_autoencoder=_masked_autoencoder)
model.training_modules.masked_autoencoder.targets.res5.base_size = [8, 6]
loss_hooks = dict(masked_autoencoder=_hook)
loss_hooks["masked_autoencoder"].loader = _unlabelled

train.output_dir = "output/phantom2ffdm/cross_domain"
