"""Two processes keep the last two checkpoints, which only the main one writes and removes."""

import sys
from pathlib import Path

from detectron2.utils import comm
from torch import distributed, nn

from medmask.checkpoint import MedMaskCheckpointer
from medmask.engine.periodic_checkpointer import PeriodicCheckpointer

distributed.init_process_group("gloo")
comm.create_local_process_group(distributed.get_world_size())
folder = Path(sys.argv[1])
checkpointer = MedMaskCheckpointer(nn.Linear(2, 2), str(folder))
periodic = PeriodicCheckpointer(checkpointer, 1, max_to_keep=2)
periodic.max_iter = 1000
for iteration in range(40):
    periodic.step(iteration)
distributed.barrier()
kept = sorted(path.name for path in folder.glob("model_*.pth"))
assert kept == ["model_0000038.pth", "model_0000039.pth"], kept
