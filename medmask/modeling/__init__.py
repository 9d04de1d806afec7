"""The detector: backbone, neck, deformable transformer, matching and losses."""

from medmask.modeling.backbone import build_small_resnet
from medmask.modeling.boxes import DetectionTarget, generalized_box_iou
from medmask.modeling.criterion import DetectionCriterion
from medmask.modeling.matcher import HungarianMatcher, MatchingCost, OneToManyMatcher
from medmask.modeling.meta_arch import MedMask, TrainingStep
from medmask.modeling.neck import MultiScaleNeck
from medmask.modeling.supervised_step import Domain, SupervisedStep
from medmask.modeling.timm_backbone import TimmBackbone, build_timm_backbone
from medmask.modeling.transformer import DeformableTransformer

__all__ = [
    "DeformableTransformer",
    "DetectionCriterion",
    "DetectionTarget",
    "Domain",
    "HungarianMatcher",
    "MatchingCost",
    "MedMask",
    "MultiScaleNeck",
    "OneToManyMatcher",
    "SupervisedStep",
    "TimmBackbone",
    "TrainingStep",
    "build_small_resnet",
    "build_timm_backbone",
    "generalized_box_iou",
]
