"""Losses and gradients of two processes are those of one on all images."""

import torch
from torch import distributed

from medmask.data.outlines import IGNORED
from medmask.stages.masks.losses import cell_targets, mask_losses

distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(0)
maps = [torch.randint(0, 3, (16, 24), dtype=torch.uint8) for _ in range(4)]
maps[1].zero_()  # no lesion: no Dice
maps[2].fill_(IGNORED)  # nothing counts
maps[3].fill_(IGNORED)
logits = torch.randn(4, 4, 6)


def loss_and_gradient(images: slice) -> tuple[torch.Tensor, torch.Tensor]:
    scale = torch.ones((), requires_grad=True)
    targets = cell_targets(maps[images], (4, 6), 4, torch.device("cpu"))
    loss = sum(mask_losses(scale * logits[images], targets))
    loss.backward()
    return loss.detach(), scale.grad


own = torch.stack(loss_and_gradient(slice(2 * rank, 2 * rank + 2)))
distributed.all_reduce(own)
whole = torch.stack(loss_and_gradient(slice(None)))  # of both: shares of the same mean twice
torch.testing.assert_close(own / 2, whole)
