"""BCD-DDSM alone: scanned film, its training images labeled and unlabeled at once."""

datasets = dict(
    train="ddsm_train",
    unlabeled="ddsm_train",
    test="ddsm_val",
)
