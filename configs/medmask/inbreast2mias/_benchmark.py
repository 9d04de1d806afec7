"""INbreast to mini-MIAS: boxes of digital mammograms, detections in scanned film.

``datasets.label=malignant`` leaves benign lesions out.
"""

datasets = dict(
    label="lesion",
    train="inbreast_${.label}_all",
    unlabeled="mini_mias_${.label}_all",
    test="mini_mias_${.label}_all",
)
