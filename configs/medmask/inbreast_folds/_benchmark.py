"""INbreast alone by five patient folds: ``datasets.fold`` is the one to test on, 0 to 4.

``datasets.label=malignant`` leaves benign lesions out.
"""

datasets = dict(
    label="lesion",
    fold=0,
    train="inbreast_${.label}_fold${.fold}_train",
    unlabeled="inbreast_${.label}_fold${.fold}_train",
    test="inbreast_${.label}_fold${.fold}_test",
)
