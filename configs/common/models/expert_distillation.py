"""What stage 3 adds to a detector: projections of the queries, and losses against an expert."""

from detectron2.config import LazyCall as L

from medmask.stages.distillation import ExpertDistillation, InfoNCE

# for model.training_modules, beside model.transformer
expert_distillation = L(ExpertDistillation)(
    query_dim="${...transformer.embed_dim}",
    expert_dim=512,  # of BiomedCLIP; the store names that of another expert
    loss=L(InfoNCE)(temperature=0.1),
    queue_size=1024,
    image_weight=1.0,
    lesion_weight=1.0,
    zero_shot_weight=1.0,
)
