"""Film to ffdm on phantoms, for tools/run_benchmark.py.

Each stage starts from stage 1 and adds 400 steps; the controls add as many without the stage. Of
all runs an average of the weights counts: that of teaching is its teacher, whose decay is 0.99 from
the first step on, while that of the other averages rises to it, so that they forget their start
faster. The expert and its embeddings are made once before:

  python tools/train_phantom_expert.py --output output/phantom_expert
  python tools/extract_expert_embeddings.py --dataset phantom_film_train \\
      --model local-dir:output/phantom_expert --no-patch-grid --output output/experts
"""

_AVERAGED = [
    "+loss_hooks.weight_averaging._target_=medmask.stages.WeightAveragingHook",
    "+loss_hooks.weight_averaging.decay=0.99",
]

benchmark = dict(
    test_dataset="phantom_ffdm_test",
    metric="froc/R@0.3",
    runs=dict(
        source_only=dict(config="source_only.py", model="average", options=_AVERAGED),
        adabn=dict(
            config="source_only.py",
            start="source_only",
            controls=["source_only"],
            adapt_batchnorm="phantom_ffdm_train",
        ),
        control=dict(config="control.py", start="source_only", model="average", options=_AVERAGED),
        control_strong=dict(
            config="control_strong.py",
            start="source_only",
            controls=["control"],
            model="average",
            options=_AVERAGED,
        ),
        control_adabn=dict(
            config="source_only.py",
            start="control",
            controls=["control"],
            adapt_batchnorm="phantom_ffdm_train",
        ),
        cross_domain=dict(
            config="cross_domain.py",
            start="source_only",
            controls=["control", "control_strong"],
            model="average",
            options=_AVERAGED,
        ),
        alignment=dict(
            config="alignment.py",
            start="source_only",
            controls=["control", "control_strong"],
            model="average",
            options=_AVERAGED,
        ),
        teaching=dict(
            config="teaching.py",
            start="source_only",
            controls=["control", "control_strong"],
            model="teacher",
        ),
        masked_retraining_teacher=dict(
            config="masked_retraining_teacher.py",
            start="source_only",
            controls=["control", "control_strong"],
            model="teacher",
        ),
        expert=dict(
            config="expert.py",
            start="source_only",
            controls=["control", "control_strong"],
            model="average",
            options=_AVERAGED,
        ),
    ),
)
