"""The detector: backbone, neck, deformable transformer, matching and losses."""

from medmask.modeling.backbone import build_small_resnet
from medmask.modeling.boxes import DetectionTarget, generalized_box_iou
from medmask.modeling.contrastive import CosineLoss, InfoNCE, MarginLoss, TripletLoss
from medmask.modeling.criterion import DetectionCriterion
from medmask.modeling.detection_pass import DetectionObjective, DetectionPass, Domain
from medmask.modeling.discriminators import DomainDiscriminators
from medmask.modeling.expert_distillation import (
    ExpertDistillation,
    ExpertEmbeddings,
    WordClasses,
)
from medmask.modeling.masked_autoencoder import MaskedAutoencoder, ReconstructionTarget
from medmask.modeling.masked_autoencoding_objective import MaskedAutoencodingObjective
from medmask.modeling.matcher import HungarianMatcher, MatchingCost, OneToManyMatcher
from medmask.modeling.meta_arch import MedMask
from medmask.modeling.neck import MultiScaleNeck
from medmask.modeling.transformer import DeformableTransformer

__all__ = [
    "CosineLoss",
    "DeformableTransformer",
    "DetectionCriterion",
    "DetectionObjective",
    "DetectionPass",
    "DetectionTarget",
    "Domain",
    "DomainDiscriminators",
    "ExpertDistillation",
    "ExpertEmbeddings",
    "HungarianMatcher",
    "InfoNCE",
    "MarginLoss",
    "MaskedAutoencoder",
    "MaskedAutoencodingObjective",
    "MatchingCost",
    "MedMask",
    "MultiScaleNeck",
    "OneToManyMatcher",
    "ReconstructionTarget",
    "TripletLoss",
    "WordClasses",
    "build_small_resnet",
    "generalized_box_iou",
]
