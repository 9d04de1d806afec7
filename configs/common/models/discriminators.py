"""What the adversarial adaptation adds to a detector: its domain discriminators."""

from detectron2.config import LazyCall as L

from medmask.stages.domain_adversarial import DomainDiscriminators

# for model.training_modules, beside model.neck and model.transformer
discriminators = L(DomainDiscriminators)(
    backbone_channels="${...neck.in_channels.res5}",
    embed_dim="${...transformer.embed_dim}",
    num_levels="${...transformer.num_levels}",
)
