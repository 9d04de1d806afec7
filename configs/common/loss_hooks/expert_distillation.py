"""Distillation of an expert's embeddings; the stage names their stores."""

from detectron2.config import LazyCall as L

from medmask.stages.distillation import ExpertDistillationHook, InfoNCE

expert_distillation = L(ExpertDistillationHook)(
    stores="???",
    loss=L(InfoNCE)(temperature=0.1),  # or MarginLoss, TripletLoss, CosineLoss
    queue_size=1024,
    image_weight=1.0,
    lesion_weight=1.0,
    zero_shot_weight=1.0,
    normal_queries=0,  # or some of an image, far from any lesion, that it gives to normal_class
    normal_class="normal",
    image_loss=None,  # or L(InfoNCE)(temperature=0.02), say, if it is another
    embedding_space="as_is",  # or "centered", "whitened"
    same_patient_negatives=True,
    highest_negative_similarity=1.0,  # of the expert's embeddings; 1: no limit
    dense_weight=0.0,  # above 0: encoder tokens learn the expert's patches, too
    dense_strides=[16, 32],
    dense_loss="cosine",  # or "smooth_l1"
    heads_alone=None,  # or iterations, or a share of the run
    missing="error",
    held_out_stores=None,  # of dataloader.test's images, to measure what is learned
)
