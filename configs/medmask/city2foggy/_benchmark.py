"""Cityscapes to Foggy Cityscapes: the same streets in fog; eight classes."""

datasets = dict(
    train="cityscapes_train",
    unlabeled="foggy_cityscapes_train",
    test="foggy_cityscapes_val",
)
num_classes = 8
