"""BCD-DDSM to RSNA-BSD1K: boxes of scanned film, detections in digital mammograms."""

datasets = dict(
    train="ddsm_train",
    unlabeled="rsna_bsd1k_train",
    test="rsna_bsd1k_val",
)
