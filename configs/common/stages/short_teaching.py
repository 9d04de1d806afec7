"""Teaching in a few hundred steps, as the benchmarks for a CPU have it."""

from ..loss_hooks.teaching import domain_adversarial, selective_retraining, teacher


def set_up_short_teaching(loss_hooks, unlabeled_pairs):
    """Add the parts of teaching to the hooks of stage 2, in place.

    Domain discriminators all the time, masked autoencoding in the first third of the run, selective
    retraining at half of it. Thresholds are those of MRT, and pseudo boxes teach classes only, as
    in its city2foggy; D-MASTER lets them teach where they are, too: teacher.teach_boxes=True.
    """
    loss_hooks.masked_autoencoder.duration = 0.33
    loss_hooks.masked_autoencoder.warmup = None  # its decoder has learned, if stage 2 came before
    loss_hooks.teacher = teacher
    loss_hooks.teacher.loader = unlabeled_pairs
    loss_hooks.teacher.ema_decay = 0.99
    loss_hooks.domain_adversarial = domain_adversarial
    loss_hooks.selective_retraining = selective_retraining
