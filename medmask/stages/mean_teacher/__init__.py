"""Adaptation without target labels: a teacher labels unlabeled images for its student."""

from medmask.stages.mean_teacher.copy_paste import LesionCopyPaste
from medmask.stages.mean_teacher.hook import TeacherHook
from medmask.stages.mean_teacher.selective_retraining import SelectiveRetrainingHook
from medmask.stages.mean_teacher.thresholds import (
    ConfidenceRefinement,
    ConfidenceThreshold,
    DynamicThreshold,
    FixedThreshold,
)

__all__ = [
    "ConfidenceRefinement",
    "ConfidenceThreshold",
    "DynamicThreshold",
    "FixedThreshold",
    "LesionCopyPaste",
    "SelectiveRetrainingHook",
    "TeacherHook",
]
