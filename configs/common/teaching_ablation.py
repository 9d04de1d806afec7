"""The ablation of teaching: each part of MRT left out of the whole, added to it, and alone.

The whole is ``masked_retraining_teacher``, as published; ``teaching`` is what the benchmarks ship.
All rows start from stage 1 and add as many steps; what counts is an average of the weights, which
the teacher is. ``control_strong`` has one without teaching, for the part called EMA, alone; it
forgets its start faster than a teacher of the same decay (WeightAveragingHook).

Three rows have more than their name says. Masked autoencoding alone is stage 2: all of the run and
after a warm-up, where the whole has it for a third of the run and without one. Pseudo boxes and
copy-paste alone come with pseudo labels, and are compared with these alone, too.
"""

_HOOKS = "loss_hooks"
_TEACHER = "loss_hooks.teacher"
_COPY_PASTE = [
    f"+{_TEACHER}.copy_paste._target_=medmask.stages.mean_teacher.LesionCopyPaste",
]
_MIX = ["+dataloader.train.mix._target_=medmask.data.Mixup"]
_NO_MASKED_AUTOENCODING = [
    f"{_HOOKS}.masked_autoencoder=null",
    "+optimizer.params.lr_factors.masked_autoencoder=null",  # of what is not there
]
_NO_DISCRIMINATORS = f"{_HOOKS}.domain_adversarial=null"
_NO_RETRAINING = f"{_HOOKS}.selective_retraining=null"
_NO_PSEUDO_LABELS = f"{_TEACHER}.loss_weight=0.0"
_ALONE = [*_NO_MASKED_AUTOENCODING, _NO_DISCRIMINATORS, _NO_RETRAINING]
"""of the teacher, whose pseudo labels are then all that it adds"""


def ablate_teaching(pages, test_dataset, metric, averaging):
    """Make the plan of a benchmark.

    Args:
        pages: folder of its configs, as seen from the plan.
        test_dataset: name of the data set that judges.
        metric: of the results; higher is better.
        averaging: options that add an average of the weights to runs without a teacher.
    """
    control = dict(start="source_only", controls=["control_strong"])
    whole = dict(start="source_only", controls=["masked_retraining_teacher", "control_strong"])
    labels = dict(start="source_only", controls=["pseudo_labels_alone", "control_strong"])

    def taught(options, compared, page="masked_retraining_teacher"):
        return dict(config=f"{pages}/{page}.py", model="teacher", options=options, **compared)

    def averaged(page, options=(), **compared):
        options = [*averaging, *options]
        return dict(config=f"{pages}/{page}.py", model="average", options=options, **compared)

    runs = dict(
        source_only=averaged("source_only"),
        control_strong=averaged("control_strong", start="source_only"),
        masked_retraining_teacher=taught([], control),
        without_ema=taught([f"{_TEACHER}.ema_decay=0.0"], whole),
        without_pseudo_labels=taught([_NO_PSEUDO_LABELS], whole),
        without_discriminators=taught([_NO_DISCRIMINATORS], whole),
        without_masked_autoencoding=taught(_NO_MASKED_AUTOENCODING, whole),
        without_retraining=taught([_NO_RETRAINING], whole),
        with_kept_heads=taught([f"{_HOOKS}.selective_retraining.keep_heads=true"], whole),
        with_pseudo_boxes=taught([f"{_TEACHER}.teach_boxes=true"], whole),
        with_copy_paste=taught(_COPY_PASTE, whole),
        with_mix=taught(_MIX, whole),
        pseudo_labels_alone=taught(_ALONE, control),
        pseudo_boxes_alone=taught([*_ALONE, f"{_TEACHER}.teach_boxes=true"], labels),
        discriminators_alone=averaged("alignment", **control),
        teaching=taught(
            [],
            dict(start="source_only", controls=["discriminators_alone", "control_strong"]),
            page="teaching",
        ),
        masked_autoencoding_alone=averaged("cross_domain", **control),
        retraining_alone=taught(
            [*_NO_MASKED_AUTOENCODING, _NO_DISCRIMINATORS, _NO_PSEUDO_LABELS], control
        ),
        copy_paste_alone=taught([*_ALONE, *_COPY_PASTE], labels),
        mix_alone=averaged("control_strong", _MIX, **control),
    )
    return dict(test_dataset=test_dataset, metric=metric, runs=runs)
