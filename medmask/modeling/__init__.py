"""The detector: backbone, neck, deformable transformer, matching and losses."""

from medmask.modeling.backbone import build_small_resnet
from medmask.modeling.boxes import DetectionTarget, generalized_box_iou
from medmask.modeling.criterion import DetectionCriterion
from medmask.modeling.detection_pass import DetectionObjective, DetectionPass, Domain
from medmask.modeling.matcher import HungarianMatcher, MatchingCost, OneToManyMatcher
from medmask.modeling.meta_arch import MedMask
from medmask.modeling.neck import MultiScaleNeck
from medmask.modeling.transformer import DeformableTransformer

__all__ = [
    "DeformableTransformer",
    "DetectionCriterion",
    "DetectionObjective",
    "DetectionPass",
    "DetectionTarget",
    "Domain",
    "HungarianMatcher",
    "MatchingCost",
    "MedMask",
    "MultiScaleNeck",
    "OneToManyMatcher",
    "build_small_resnet",
    "generalized_box_iou",
]
