"""The parts of teaching on real mammograms, mini-MIAS to INbreast, for tools/run_benchmark.py."""

from ...common.teaching_ablation import ablate_teaching

benchmark = ablate_teaching(
    pages="../mias2inbreast",
    test_dataset="inbreast_lesion_train",
    metric="froc/R@0.5",
    averaging=[],  # its stages have it
)
