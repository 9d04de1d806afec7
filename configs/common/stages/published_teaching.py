"""Teaching as it was published: what pseudo labels teach, their thresholds, and the schedule.

Both methods renew their thresholds once an epoch and retrain selectively after half of the run.
"""


def teach_as_mrt(loss_hooks, optimizer):
    """Set up teaching as MRT does for city2foggy, in place.

    Pseudo boxes teach classes only. 80 epochs, masked autoencoding for the first 10, retraining
    after 40; the rate is that of stage 1.
    """
    optimizer.lr = 2e-4
    loss_hooks.masked_autoencoder.duration = 0.125
    loss_hooks.selective_retraining.period = 0.5
    loss_hooks.teacher.teach_boxes = False
    loss_hooks.teacher.threshold.update_period = 0.0125
    loss_hooks.teacher.threshold.scale = 0.5  # alpha_dt
    loss_hooks.teacher.threshold.highest = 0.45  # max_dt


def teach_as_d_master(loss_hooks, optimizer):
    """Set up teaching as D-MASTER does for mammograms, in place.

    Pseudo boxes teach where they are, too. 20 epochs, masked autoencoding for the first 5,
    retraining after 10, at a tenth of the rate of stage 1.
    """
    optimizer.lr = 2e-5
    loss_hooks.masked_autoencoder.duration = 0.25
    loss_hooks.selective_retraining.period = 0.5
    loss_hooks.teacher.teach_boxes = True
    loss_hooks.teacher.threshold.update_period = 0.05
    loss_hooks.teacher.threshold.scale = 0.9  # alpha_dt
    loss_hooks.teacher.threshold.highest = 0.6  # max_dt
