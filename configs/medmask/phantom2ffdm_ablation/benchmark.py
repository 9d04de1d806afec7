"""The parts of teaching on phantoms, film to ffdm, for tools/run_benchmark.py."""

from ...common.teaching_ablation import ablate_teaching

benchmark = ablate_teaching(
    pages="../phantom2ffdm",
    test_dataset="phantom_ffdm_test",
    metric="froc/R@0.3",
    averaging=[
        "+loss_hooks.weight_averaging._target_=medmask.stages.WeightAveragingHook",
        "+loss_hooks.weight_averaging.decay=0.99",
    ],
)
