"""Cityscapes to BDD100K daytime images: other cities and cameras; eight classes."""

datasets = dict(
    train="cityscapes_train",
    unlabeled="bdd100k_daytime_train",
    test="bdd100k_daytime_val",
)
num_classes = 8
