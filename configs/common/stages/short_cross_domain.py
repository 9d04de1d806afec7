"""Masked autoencoding in a few hundred steps, as the benchmarks for a CPU have it."""

from ..loss_hooks.masked_autoencoder import masked_autoencoder


def add_masked_autoencoder(loss_hooks, optimizer, unlabeled, map_size):
    """Add masked autoencoding to the hooks of a stage, in place.

    Its decoder is fresh and has a few hundred steps: it learns five times as fast, alone at first,
    and its loss weighs as much as a share of detection's gradient asks for. Without these it
    learned next to nothing (docs/results.md).

    Args:
        loss_hooks: of the stage.
        optimizer: of the stage.
        unlabeled: the loader of unlabeled images.
        map_size: height and width of the backbone's map of stride 32 that is rebuilt.
    """
    loss_hooks["masked_autoencoder"] = masked_autoencoder
    loss_hooks["masked_autoencoder"].targets.res5 = map_size
    loss_hooks["masked_autoencoder"].loader = unlabeled
    loss_hooks["masked_autoencoder"].warmup = 0.2
    loss_hooks["masked_autoencoder"].gradient_share = 0.3
    optimizer.params.lr_factors["masked_autoencoder"] = 5.0
