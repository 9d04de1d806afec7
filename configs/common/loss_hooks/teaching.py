"""The parts of the adaptation without target labels; the stage sets the teacher's loader."""

from detectron2.config import LazyCall as L

from medmask.stages.domain_adversarial import DomainAdversarialHook
from medmask.stages.mean_teacher import DynamicThreshold, SelectiveRetrainingHook, TeacherHook

teacher = L(TeacherHook)(
    loader="???",
    # or FixedThreshold(value=0.3), or ConfidenceRefinement(soft=0.1, hard=0.8)
    threshold=L(DynamicThreshold)(
        initial=0.3,
        momentum=0.9,
        scale=0.5,
        lowest=0.25,
        highest=0.45,
        update_period=0.05,
    ),
    ema_decay=0.9996,
    loss_weight=1.0,
    teach_boxes=False,  # True: the losses on pseudo boxes count, too, not those on classes alone
    copy_paste=None,  # or LesionCopyPaste(): of labeled and pseudo lesions
)

domain_adversarial = L(DomainAdversarialHook)(
    backbone_weight=0.3,
    encoder_weight=1.0,
    decoder_weight=1.0,
    loader=None,  # the teacher's images; or those of a loader, without a teacher
)

selective_retraining = L(SelectiveRetrainingHook)(period=0.5, keep_heads=False)
