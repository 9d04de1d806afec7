"""INbreast alone: digital mammograms, its training images labeled and unlabeled at once."""

datasets = dict(
    train="inbreast_train",
    unlabeled="inbreast_train",
    test="inbreast_val",
)
