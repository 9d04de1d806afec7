"""Stage 3: distillation of an expert, a vision foundation model, into the detector."""

from medmask.stages.distillation.contrastive_losses import (
    ContrastiveLoss,
    CosineLoss,
    InfoNCE,
    MarginLoss,
    TripletLoss,
)
from medmask.stages.distillation.dense import DENSE_LOSSES, DenseDistillation
from medmask.stages.distillation.embedding_queue import EmbeddingQueue
from medmask.stages.distillation.embedding_space import SPACES
from medmask.stages.distillation.expert_contrast import ExpertContrast, unit_vectors
from medmask.stages.distillation.heads import ExpertDistillation, ExpertEmbeddings, WordClasses
from medmask.stages.distillation.hook import (
    DEFAULT_NAME,
    KEY_SUFFIX,
    ExpertDistillationHook,
)

__all__ = [
    "DEFAULT_NAME",
    "DENSE_LOSSES",
    "KEY_SUFFIX",
    "SPACES",
    "ContrastiveLoss",
    "CosineLoss",
    "DenseDistillation",
    "EmbeddingQueue",
    "ExpertContrast",
    "ExpertDistillation",
    "ExpertDistillationHook",
    "ExpertEmbeddings",
    "InfoNCE",
    "MarginLoss",
    "TripletLoss",
    "WordClasses",
    "unit_vectors",
]
