"""INbreast to mini-MIAS, for tools/run_benchmark.py: all stages and their controls.

Each stage starts from stage 1 and adds as many steps as its controls; the embeddings of the expert
are made before, see expert.py.
"""

_CONTROLS = ["control", "control_strong"]

benchmark = dict(
    test_dataset="mini_mias_lesion_all",
    metric="froc/R@0.5",
    runs=dict(
        source_only=dict(config="source_only.py", model="average"),
        control=dict(config="control.py", start="source_only", model="average"),
        control_strong=dict(
            config="control_strong.py",
            start="source_only",
            controls=["control"],
            model="average",
        ),
        cross_domain=dict(
            config="cross_domain.py",
            start="source_only",
            controls=_CONTROLS,
            model="average",
        ),
        alignment=dict(
            config="alignment.py", start="source_only", controls=_CONTROLS, model="average"
        ),
        teaching=dict(
            config="teaching.py", start="source_only", controls=_CONTROLS, model="teacher"
        ),
        masked_retraining_teacher=dict(
            config="masked_retraining_teacher.py",
            start="source_only",
            controls=_CONTROLS,
            model="teacher",
        ),
        expert=dict(config="expert.py", start="source_only", controls=_CONTROLS, model="average"),
    ),
)
