"""RSNA-BSD1K alone: its training images labeled and unlabeled at once."""

datasets = dict(
    train="rsna_bsd1k_train",
    unlabeled="rsna_bsd1k_train",
    test="rsna_bsd1k_val",
)
