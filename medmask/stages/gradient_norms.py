"""The norm of each loss's gradient in the parts of the detector.

Losses that are minimized together compete by their gradients, not by their values: one whose
gradient in the encoder is a hundredth of another's teaches the encoder nothing. The norm is that of
the gradient that the update would be made of if there were this loss alone: weighted, summed over
the batches of a step, averaged over the processes, not scaled up for half precision, not clipped.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from medmask.utils.distributed import average_over_processes

DETECTION = "detection"
"""Group of the supervised losses on labeled images"""
_SUPERVISED = ("class", "box", "giou")
_TARGET = "_target"
_PROPOSALS = "_proposals"


def parts_of(detector: nn.Module) -> dict[str, nn.Module]:
    """Name the parts that several losses share: backbone, encoder and decoder with its heads.

    A detector without a transformer is one part, ``detector``.
    """
    if not hasattr(detector, "transformer"):
        return {"detector": detector}
    return {
        "backbone": detector.get_submodule("backbone"),
        "encoder": detector.get_submodule("transformer.encoder"),
        "decoder": detector.get_submodule("transformer.decoder"),
    }


def group_of(loss_name: str) -> str:
    """Name the group whose gradients are measured as one.

    All supervised losses are ``detection``, on target images ``detection_target``. Any other loss
    is a group by itself, called like it but for ``loss_``; its terms on source and target images
    are one.
    """
    name = loss_name.removeprefix("loss_")
    source_name = name.removesuffix(_TARGET)
    if source_name.removesuffix(_PROPOSALS) in _SUPERVISED:
        return DETECTION if name == source_name else DETECTION + _TARGET
    return source_name


class GradientNorms:
    """Measures the gradients of a step without any effect on the step.

    It takes a backward pass for each group and batch, through no more of the model than the parts
    need, keeps the graph for the backward pass proper, and holds a gradient of the parts for each
    group until :meth:`compute`. In a run of several processes, all measure the same steps.

    Args:
        parts: name -> module. Frozen parameters have no part in the norms.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        self._parameters = {
            name: [p for p in part.parameters() if p.requires_grad] for name, part in parts.items()
        }
        self._sums: dict[str, list[Tensor]] = {}

    def add(self, losses: Mapping[str, Tensor], scale: float = 1.0) -> None:
        """Add the gradients of a batch, before its backward pass.

        Args:
            losses: name -> weighted loss, as it is summed for the backward pass.
            scale: factor on all losses during the pass, which half precision needs to keep small
                gradients; the norms are without it.
        """
        grouped: dict[str, Tensor] = {}
        for name, loss in losses.items():
            group = group_of(name)
            grouped[group] = grouped[group] + loss if group in grouped else loss
        for group, loss in grouped.items():
            gradients = self._gradients(scale * loss)
            for gradient in gradients:
                gradient /= scale
            if group in self._sums:
                for total, gradient in zip(self._sums[group], gradients, strict=True):
                    total += gradient
            else:
                self._sums[group] = gradients

    def compute(self) -> dict[str, dict[str, float]]:
        """Compute the norms over all batches since the last call, and forget these.

        Returns:
            group -> part -> norm, the same in every process; 0 where a loss does not reach. Parts
            without a parameter that is trained are left out.
        """
        names = [name for name, parameters in self._parameters.items() if parameters]
        norms = {}
        while self._sums:
            group = next(iter(self._sums))
            gradients = [average_over_processes(x) for x in self._sums.pop(group)]
            values = torch.stack([_norm(x) for x in gradients]).tolist() if gradients else []
            norms[group] = dict(zip(names, values, strict=True))
        return norms

    def _gradients(self, loss: Tensor) -> list[Tensor]:
        """Compute the gradient in each part that is trained: (P_i,) float32 or float64 each."""
        parts = [parameters for parameters in self._parameters.values() if parameters]
        everything = [parameter for parameters in parts for parameter in parameters]
        gradients: Iterable[Tensor | None] = [None] * len(everything)
        if everything and loss.requires_grad:
            gradients = torch.autograd.grad(loss, everything, retain_graph=True, allow_unused=True)
        flat = iter(
            [
                torch.zeros_like(parameter).flatten() if gradient is None else gradient.flatten()
                for parameter, gradient in zip(everything, gradients, strict=True)
            ]
        )
        return [torch.cat([next(flat) for _ in parameters]) for parameters in parts]


def _norm(gradient: Tensor) -> Tensor:
    """Sum in float64: of a million squares, float32 loses the fifth digit."""
    return torch.linalg.vector_norm(gradient, dtype=torch.float64)
