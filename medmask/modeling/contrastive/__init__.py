"""Contrast between a student's and an expert's embeddings."""

from medmask.modeling.contrastive.embedding_queue import EmbeddingQueue
from medmask.modeling.contrastive.expert_contrast import ExpertContrast, unit_vectors
from medmask.modeling.contrastive.losses import (
    ContrastiveLoss,
    CosineLoss,
    InfoNCE,
    MarginLoss,
    TripletLoss,
)
from medmask.modeling.contrastive.processes import mean_over_processes

__all__ = [
    "ContrastiveLoss",
    "CosineLoss",
    "EmbeddingQueue",
    "ExpertContrast",
    "InfoNCE",
    "MarginLoss",
    "TripletLoss",
    "mean_over_processes",
    "unit_vectors",
]
