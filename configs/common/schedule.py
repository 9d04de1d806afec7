"""Multipliers on the learning rate over a whole run; milestones and lengths are shares of it."""

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler

from medmask.solver.learning_rate import StepSchedule

# A tenth of the rate for the last fifth of the run.
step_schedule = L(StepSchedule)(values=[1.0, 0.1], milestones=[0.8])

# The full rate to the end.
constant_schedule = L(StepSchedule)(values=[1.0], milestones=[])

# Down to a hundredth along a cosine, after a short linear warm-up.
cosine_schedule = L(WarmupParamScheduler)(
    scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.01),
    warmup_factor=0.01,
    warmup_length=0.03,
)
