"""Film with few labels on phantoms, for tools/run_benchmark.py: a tenth of the patients.

Stage 1 for 500 steps, then 400 more with the expert, or without it as the control. The expert and
its embeddings are made as in ../phantom2ffdm/benchmark.py.
"""

_FEW_LABELS = ["dataloader.train.label_fraction=0.1"]

benchmark = dict(
    test_dataset="phantom_film_test",
    metric="froc/R@0.3",
    runs=dict(
        few_labels=dict(config="source_only.py", options=[*_FEW_LABELS, "train.max_iter=500"]),
        control_strong=dict(
            config="../phantom2ffdm/control_strong.py",
            start="few_labels",
            options=_FEW_LABELS,
        ),
        expert=dict(
            config="../phantom2ffdm/expert.py",
            start="few_labels",
            controls=["control_strong"],
            options=_FEW_LABELS,
        ),
    ),
)
