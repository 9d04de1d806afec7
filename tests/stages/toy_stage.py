"""A toy stage: the encoder learns to tell how many lesions an image has."""

import torch
from detectron2.utils import comm

from medmask.modeling import Domain, MedMask, SupervisedStep
from medmask.stages import LossHook


class LesionCountHook(LossHook):
    """Adds ``loss_count``: squared error of the number of lesions, less its running mean."""

    module_name = "lesion_counter"

    def __init__(self, *, weight: float = 0.1) -> None:
        super().__init__()
        self.weight = weight
        self.mean_count = 0.0

    def build(self, detector: MedMask) -> None:
        self.register_module(detector, torch.nn.Linear(detector.transformer.embed_dim, 1))

    def before_step(self) -> None:
        self.counts = []

    def output_losses(self, step: SupervisedStep) -> dict[str, torch.Tensor]:
        if step.domain is Domain.TARGET:
            return {}  # boxes of target images are guesses
        counts = torch.tensor([float(len(target.labels)) for target in step.targets])
        self.counts += counts.tolist()
        predicted = self.module(step.outputs.memory.mean(dim=1))[:, 0]
        error = predicted - (counts - self.mean_count).to(predicted)
        return {"loss_count": self.weight * error.square().mean()}

    def after_step(self) -> None:
        counts = [count for counts in comm.all_gather(self.counts) for count in counts]
        self.mean_count += 0.1 * (sum(counts) / len(counts) - self.mean_count)
        self.trainer.storage.put_scalar("mean_count", self.mean_count)

    def state_dict(self) -> dict[str, float]:
        return {"mean_count": self.mean_count}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        self.mean_count = state_dict["mean_count"]
