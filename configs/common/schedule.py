"""Multipliers on the learning rate over a whole run."""

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler, MultiStepParamScheduler

# A tenth of the rate for the last fifth of the run.
step_schedule = L(MultiStepParamScheduler)(values=[1.0, 0.1], milestones=[0.8, 1.0])

# Down to a hundredth along a cosine, after a short linear warm-up.
cosine_schedule = L(WarmupParamScheduler)(
    scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.01),
    warmup_factor=0.01,
    warmup_length=0.03,  # as a share of the run
)
