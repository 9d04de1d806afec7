"""SIM10k to Cityscapes: from a game's pictures to photographs; cars only."""

datasets = dict(
    train="sim10k_train",
    unlabeled="cityscapes_caronly_train",
    test="cityscapes_caronly_val",
)
num_classes = 1
