"""AdamW; backbone, sampling offsets and reference points learn at a tenth of the rate."""

import torch
from detectron2.config import LazyCall as L

from medmask.solver.optimizer import build_parameter_groups

optimizer = L(torch.optim.AdamW)(
    params=L(build_parameter_groups)(
        lr="${..lr}",
        weight_decay="${..weight_decay}",
        # the detector's backbone (not a discriminator's of that name), and parts anywhere
        lr_factors={"backbone": 0.1, "sampling_offsets": 0.1, "reference_points": 0.1},
    ),
    lr=2e-4,
    weight_decay=1e-4,
    fused=True,
)
