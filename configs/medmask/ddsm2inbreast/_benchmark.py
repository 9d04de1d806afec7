"""BCD-DDSM to INbreast: boxes of scanned film, detections in digital mammograms."""

datasets = dict(
    train="ddsm_train",
    unlabeled="inbreast_train",
    test="inbreast_val",
)
