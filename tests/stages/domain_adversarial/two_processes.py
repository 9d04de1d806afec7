"""The loss and the gradient of two processes are those of one on all images, however padded."""

from types import SimpleNamespace

import torch
from detectron2.utils.events import EventStorage
from torch import distributed

from medmask.modeling import Domain
from medmask.stages.domain_adversarial import DomainAdversarialHook
from medmask.stages.domain_adversarial.discriminators import domain_loss

distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(0)
logits = torch.randn(2, 3, 4, 2)
padding = torch.zeros(2, 3, 4, dtype=torch.bool)
padding[1, :, 1:] = True  # the second process has a quarter of the positions of the first


def loss_and_gradient(images: slice) -> torch.Tensor:
    scale = torch.ones((), requires_grad=True)
    loss = domain_loss(scale * logits[images], 1, padding[images])
    loss.backward()
    return torch.stack((loss.detach(), scale.grad))


own = loss_and_gradient(slice(rank, rank + 1))
distributed.all_reduce(own)
whole = loss_and_gradient(slice(None))  # of both: shares of the same mean twice
torch.testing.assert_close(own / 2, whole)

# the logged accuracy is that of both processes
hook = DomainAdversarialHook()
hook.trainer = SimpleNamespace(storage=EventStorage())
hook._accuracies[Domain.SOURCE].append(torch.full((3,), 0.2 + 0.4 * rank))
hook._accuracies[Domain.TARGET].append(torch.full((3,), 0.6))
hook.after_step()
for name in ("backbone", "encoder", "decoder"):
    value, _ = hook.trainer.storage.latest()[f"domain_accuracy/{name}"]
    torch.testing.assert_close(value, 0.5)
