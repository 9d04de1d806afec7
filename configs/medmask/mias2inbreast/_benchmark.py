"""mini-MIAS to INbreast: boxes of scanned film, detections in digital mammograms.

Development looks at INbreast's training patients, whose images are also those that masked
autoencoding and the teacher read without boxes; the figures are those of the held-out patients.
``datasets.label=malignant`` leaves benign lesions out.
"""

datasets = dict(
    label="lesion",
    train="mini_mias_${.label}_all",
    unlabeled="inbreast_${.label}_train",
    test="inbreast_${.label}_train",
)
