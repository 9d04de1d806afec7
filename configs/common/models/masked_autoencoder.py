"""What stage 2 adds to a detector: a decoder that rebuilds the stride-32 map."""

from detectron2.config import LazyCall as L

from medmask.stages.masked_autoencoding import MaskedAutoencoder, ReconstructionTarget

# for model.training_modules, beside model.neck and model.transformer
masked_autoencoder = L(MaskedAutoencoder)(
    targets=L("builtins.dict")(
        res5=L(ReconstructionTarget)(
            level=2,
            channels="${.....neck.in_channels.res5}",
            base_size=[25, 42],  # of images of 800 x 1333 pixels (height x width)
        ),
    ),
    embed_dim="${...transformer.embed_dim}",
    num_heads="${...transformer.num_heads}",
    num_levels="${...transformer.num_levels}",
    num_points="${...transformer.num_points}",
    feed_forward_dim="${...transformer.feed_forward_dim}",
    num_layers=2,
    dropout="${...transformer.dropout}",
)
