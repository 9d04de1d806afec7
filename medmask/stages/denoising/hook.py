"""Denoising of ground-truth boxes, for a decoder that has few of them to learn from."""

from torch import Tensor

from medmask.errors import InputError
from medmask.modeling import Domain, MedMask, SupervisedStep
from medmask.stages.denoising.noised_boxes import BoxNoise
from medmask.stages.loss_hook import LossHook


class DenoisingHook(LossHook):
    """Adds the decoder's losses on noised boxes of the labeled images.

    In one-to-one matching one query an object learns what the object looks like. Here the decoder
    gets noised copies of each box as queries more (DINO, Zhang et al., 2023): near ones are to
    become the box, and farther ones are background. Which is which is known, so nothing is matched.
    The queries start as proposals do, and are decoded by themselves, so detection is as without
    them, and there is nothing more to train or to keep. Target images, whose boxes are guesses,
    teach nothing.
    """

    def __init__(self, *, noise: BoxNoise, weight: float = 1.0) -> None:
        """Create the hook.

        Args:
            noise: draws the boxes.
            weight: factor of the losses, at least 0.

        Raises:
            InputError: the weight is negative.
        """
        super().__init__()
        if weight < 0:
            raise InputError(f"loss_hooks.denoising.weight is {weight}, but must be at least 0")
        self.noise = noise
        self.weight = weight

    def build(self, detector: MedMask) -> None:
        """Check that queries of the detector start from boxes.

        Raises:
            InputError: the detector is not two-stage.
        """
        if not detector.transformer.two_stage:
            raise InputError(
                "loss_hooks.denoising needs queries that start from boxes: set "
                "model.transformer.two_stage=True, or remove the hook"
            )

    def output_losses(self, step: SupervisedStep) -> dict[str, Tensor]:
        """Compute ``loss_class_denoising``, ``loss_box_denoising`` and ``loss_giou_denoising``."""
        if step.domain is not Domain.SOURCE:
            return {}
        detector = self.trainer.detector
        noised = self.noise(step.targets)
        output = detector.transformer.decode_boxes(
            noised.references, step.outputs.memory, step.outputs.tokens, noised.attention_mask
        )
        losses = detector.criterion.matched_losses(
            output, step.targets, noised.matches, self.noise.num_groups, noised.exists
        )
        return {f"{name}_denoising": self.weight * loss for name, loss in losses.items()}
