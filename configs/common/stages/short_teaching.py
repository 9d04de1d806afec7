"""Teaching in a few hundred steps, as the benchmarks for a CPU have it."""

from ..loss_hooks.teaching import domain_adversarial, selective_retraining, teacher


def add_teacher(loss_hooks, unlabeled_pairs):
    """Add a teacher and domain discriminators to the hooks of a stage, in place.

    Thresholds are those of MRT, and pseudo boxes teach classes only, as in its city2foggy; D-MASTER
    lets them teach where they are, too: teacher.teach_boxes=True. Pseudo labels weigh a tenth of
    what was published: half of them are wrong after so few steps, and with full weight they undo
    half of what the discriminators gain (docs/results.md).
    """
    loss_hooks["teacher"] = teacher
    loss_hooks["teacher"].loader = unlabeled_pairs
    loss_hooks["teacher"].ema_decay = 0.99
    loss_hooks["teacher"].loss_weight = 0.1
    loss_hooks["domain_adversarial"] = domain_adversarial


def add_mrt(loss_hooks, unlabeled_pairs):
    """Add all parts of the masked retraining teacher, as published, to stage 2, in place.

    Beside the teacher, with pseudo labels of full weight, and the discriminators: masked
    autoencoding in the first third of the run, and selective retraining at half of it, which harms
    in so few steps (docs/results_phantoms.md).
    """
    add_teacher(loss_hooks, unlabeled_pairs)
    loss_hooks["teacher"].loss_weight = 1.0
    loss_hooks["masked_autoencoder"].duration = 0.33
    # Its decoder has learned, if stage 2 came before.
    loss_hooks["masked_autoencoder"].warmup = None
    loss_hooks["selective_retraining"] = selective_retraining
