"""AdaBN (Li et al., 2016): BatchNorm statistics of the target images, and no training.

The weights stay; mean and variance of every trained BatchNorm layer are estimated anew on images of
the hospital to adapt to, which need no labels.
"""

import logging
from collections.abc import Iterable, Sized
from typing import Any, Protocol

from detectron2.utils import comm
from fvcore.nn.precise_bn import BN_MODULE_TYPES, get_bn_modules, update_bn_stats
from torch import nn

from medmask.errors import InputError
from medmask.modeling import MedMask
from medmask.utils.counts import counted

logger = logging.getLogger(__name__)


class SizedLoader(Sized, Iterable[list[dict[str, Any]]], Protocol):
    """A finite loader of batches."""


class _BackboneOnBatches(nn.Module):
    """The backbone alone, on the detector's batches: the rest has no BatchNorm and costs time."""

    def __init__(self, detector: MedMask) -> None:
        super().__init__()
        self.backbone = detector.backbone
        self.preprocess_image = detector.preprocess_image

    def forward(self, batch: list[dict[str, Any]]) -> None:
        self.backbone(self.preprocess_image(batch).tensor)


def adapt_batchnorm(detector: MedMask, loader: SizedLoader) -> None:
    """Replace the statistics of the backbone's trained BatchNorm layers by those of a data set.

    Each layer's statistics are those of all positions of all images together, each batch being
    normalized by its own, as in training. Where images of a batch differ in size, padding counts,
    as in training; batches of one image normalize each image by itself, which is another thing than
    what the detector was trained with.

    Args:
        detector: changed in place; its mode (training or not) stays.
        loader: a test loader; each batch is seen once, so the result is the same every time.

    Raises:
        InputError: the backbone has no trained BatchNorm, or there are several processes.
    """
    if comm.get_world_size() > 1:
        raise InputError("BatchNorm statistics are adapted in one process: start only one")
    backbone = _BackboneOnBatches(detector)
    modes = {module: module.training for module in backbone.modules()}
    backbone.eval()  # no dropout, or anything else that acts in training
    for module in backbone.modules():
        if isinstance(module, BN_MODULE_TYPES):
            module.train()
    try:
        layers = get_bn_modules(backbone)
        if not layers:
            raise InputError(
                "the backbone has no trained BatchNorm whose statistics could be adapted (FrozenBN "
                "and other norms have none): leave --adapt-batchnorm out, or take a model whose "
                "backbone has norm=BN"
            )
        logger.info(
            f"Adapting {counted(len(layers), 'BatchNorm layer')} to "
            f"{counted(len(loader), 'batch', 'batches')}"
        )
        update_bn_stats(backbone, loader, num_iters=len(loader))
        for layer in layers:
            # A variance is the difference of two means, in float32: where a channel hardly varies
            # about a large mean, rounding leaves less than 0, which would make all outputs NaN.
            layer.running_var.clamp_(min=0)
    finally:
        for module, mode in modes.items():
            module.training = mode
