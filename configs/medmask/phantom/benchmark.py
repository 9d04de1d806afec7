"""Film with few labels on phantoms, for tools/run_benchmark.py: a tenth of the patients.

Stage 1 for 500 steps, then 400 more with the expert, or without it as the control; of all runs an
average of the weights counts. The expert and its embeddings are made as in
../phantom2ffdm/benchmark.py.
"""

_FEW_LABELS = [
    "dataloader.train.label_fraction=0.1",
    "+loss_hooks.weight_averaging._target_=medmask.stages.WeightAveragingHook",
    "+loss_hooks.weight_averaging.decay=0.99",
]

benchmark = dict(
    test_dataset="phantom_film_test",
    metric="froc/R@0.3",
    runs=dict(
        few_labels=dict(
            config="source_only.py",
            model="average",
            options=[*_FEW_LABELS, "train.max_iter=500"],
        ),
        control_strong=dict(
            config="../phantom2ffdm/control_strong.py",
            start="few_labels",
            model="average",
            options=_FEW_LABELS,
        ),
        expert=dict(
            config="../phantom2ffdm/expert.py",
            start="few_labels",
            model="average",
            controls=["control_strong"],
            options=_FEW_LABELS,
        ),
    ),
)
