"""The parts of teaching on real mammograms, mini-MIAS to INbreast, for tools/run_benchmark.py.

Beside them stand masks: the circles of mini-MIAS. Training by labels of whole INbreast images has a
plan of its own, mias2inbreast_image_labels.
"""

from ...common.teaching_ablation import ablate_teaching

benchmark = ablate_teaching(
    pages="../mias2inbreast",
    test_dataset="inbreast_lesion_train",
    metric="froc/R@0.5",
    averaging=[],  # its stages have it
)
benchmark["runs"]["masks"] = dict(
    config="../mias2inbreast/masks.py",
    start="source_only",
    controls=["control_strong"],
    model="average",
)
