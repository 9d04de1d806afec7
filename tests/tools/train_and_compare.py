"""The training tool, but in the end every process must hold the same parameters."""

import sys
from pathlib import Path

import torch
from detectron2.utils import comm

from medmask.engine import MedMaskTrainer

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import lazyconfig_train_net as tool

train = MedMaskTrainer.train


def train_and_compare(self, start_iter, max_iter):
    train(self, start_iter, max_iter)
    everybody = comm.all_gather([p.detach() for p in self.detector.parameters()])
    assert len(everybody) == comm.get_world_size()
    for others in everybody[1:]:
        assert all(map(torch.equal, everybody[0], others)), "the processes differ"


MedMaskTrainer.train = train_and_compare  # in the processes that launch starts, too

if __name__ == "__main__":
    tool.main()
