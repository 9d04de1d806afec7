"""The parts of teaching on phantoms, film to ffdm, for tools/run_benchmark.py.

Beside them stand training by labels of whole ffdm images, which teaching does without, and masks:
the outlines of the lesions on film.
"""

from ...common.teaching_ablation import ablate_teaching

_AVERAGING = [
    "+loss_hooks.weight_averaging._target_=medmask.stages.WeightAveragingHook",
    "+loss_hooks.weight_averaging.decay=0.99",
]

benchmark = ablate_teaching(
    pages="../phantom2ffdm",
    test_dataset="phantom_ffdm_test",
    metric="froc/R@0.3",
    averaging=_AVERAGING,
)
for _page in ("image_labels", "masks"):
    benchmark["runs"][_page] = dict(
        config=f"../phantom2ffdm/{_page}.py",
        start="source_only",
        controls=["control_strong"],
        model="average",
        options=_AVERAGING,
    )
