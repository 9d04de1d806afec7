"""Labels of whole INbreast images beside the boxes of mini-MIAS, for tools/run_benchmark.py.

A plan of its own, as the held-out patients judge it: development's patients lend the labels.
"""

benchmark = dict(
    test_dataset="inbreast_lesion_heldout",
    metric="froc/R@0.5",
    runs=dict(
        source_only=dict(config="../mias2inbreast/source_only.py", model="average"),
        control_strong=dict(
            config="../mias2inbreast/control_strong.py", start="source_only", model="average"
        ),
        image_labels=dict(
            config="../mias2inbreast/image_labels.py",
            start="source_only",
            controls=["control_strong"],
            model="average",
        ),
    ),
)
