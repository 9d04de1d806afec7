"""Optimizer parameter groups and learning-rate schedules."""

from medmask.solver.learning_rate import StepSchedule
from medmask.solver.optimizer import build_parameter_groups

__all__ = ["StepSchedule", "build_parameter_groups"]
