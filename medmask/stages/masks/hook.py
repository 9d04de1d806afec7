"""The stage with an auxiliary loss on the outlines of lesions."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from medmask.data.outlines import LesionMapDrawer, has_outline
from medmask.errors import InputError
from medmask.modeling import Domain, MedMask, SupervisedStep
from medmask.modeling.transformer import TransformerOutput
from medmask.stages.exclusive_options import PASTING_AND_MASKS
from medmask.stages.learning import LearningMeasure, Sample, observing
from medmask.stages.loss_hook import LossHook
from medmask.stages.masks.decoder import NORM_GROUPS, MaskDecoder
from medmask.stages.masks.losses import CellTargets, cell_targets, mask_losses
from medmask.stages.masks.quality import MaskQuality
from medmask.utils.counts import counted

logger = logging.getLogger(__name__)

_KEY = "loss_hooks.masks"


class LesionMaskHook(LossHook):
    """Adds ``loss_mask_cross_entropy`` and ``loss_mask_dice`` to the step of the labeled batch.

    A decoder that is there for training alone tells lesion from background on a fine map of the
    encoder's output. The outlines come with the samples: the mapper of the labeled images needs a
    ``lesion_map``. Target images, whose boxes are guesses, teach nothing.
    """

    module_name = "mask_decoder"
    module: MaskDecoder

    def __init__(
        self, *, weight: float = 1.0, stride: int = 4, channels: int = 64, num_levels: int = 2
    ) -> None:
        """Create the hook.

        Args:
            weight: factor of both losses, at least 0.
            stride: of the map, in pixels: the stride of the encoder's finest level, or that divided
                by a power of two.
            channels: of the decoder, divisible by 8.
            num_levels: levels of the encoder that it reads, the finest ones.

        Raises:
            InputError: a number makes no sense.
        """
        super().__init__()
        if weight < 0:
            raise InputError(f"{_KEY}.weight is {weight}, but must be at least 0")
        if channels < 1 or channels % NORM_GROUPS:
            raise InputError(f"{_KEY}.channels is {channels}, but must be divisible by 8")
        self.weight = weight
        self.stride = stride
        self.channels = channels
        self.num_levels = num_levels

    def build(self, detector: MedMask) -> None:
        """Make the decoder.

        Raises:
            InputError: the detector has no such levels.
        """
        levels = detector.transformer.num_levels
        if not 1 <= self.num_levels <= levels:
            raise InputError(
                f"{_KEY}.num_levels is {self.num_levels}, but the encoder has {levels}: choose 1 "
                f"to {levels}"
            )
        finest = int(detector.backbone.output_shape()[detector.neck.in_features[0]].stride)
        doublings = math.log2(finest / self.stride) if 1 <= self.stride <= finest else -1.0
        if doublings < 0 or not doublings.is_integer():
            raise InputError(
                f"{_KEY}.stride is {self.stride}, but must be {finest}, the stride of the "
                "encoder's finest level, or that divided by a power of two"
            )
        decoder = MaskDecoder(
            detector.transformer.embed_dim, self.channels, self.num_levels, int(doublings)
        )
        self.register_module(detector, decoder)

    def before_train(self) -> None:
        """Look for outlines in the labeled images.

        Raises:
            InputError: the mapper draws none, there are none, or teaching pastes lesions without.
        """
        stream = self.trainer.loader.stream
        drawer: LesionMapDrawer | None = getattr(stream.mapper, "lesion_map", None)
        if drawer is None:
            raise InputError(
                f"{_KEY} needs outlines: set dataloader.train.mapper.lesion_map to a "
                "medmask.data.LesionMapDrawer, or remove the hook"
            )
        self._drawer = drawer
        if any(getattr(hook, "copy_paste", None) is not None for hook in self.trainer.loss_hooks):
            raise InputError(PASTING_AND_MASKS.sentence(_KEY))
        annotations = [a for record in stream.dataset_dicts for a in record["annotations"]]
        outlined = sum(map(has_outline, annotations))
        mode = drawer.without_outline
        if not outlined and mode == "ignore":
            raise InputError(
                f"{_KEY}: no annotation of dataloader.train.dataset has an outline (segmentation), "
                "so there is nothing to learn: name a set with outlines (phantoms of before they "
                "had any are made anew by make-phantoms --overwrite), or set "
                "dataloader.train.mapper.lesion_map.without_outline=ellipse"
            )
        logger.info(
            f"Lesion maps: {counted(outlined, 'annotation')} with an outline, "
            f"{len(annotations) - outlined} with a box alone ({mode})"
        )
        super().before_train()

    def output_losses(self, step: SupervisedStep) -> dict[str, Tensor]:
        """Compute the weighted losses; none for target images."""
        if step.domain is not Domain.SOURCE:
            return {}
        logits = self._decode(step.outputs)
        targets = self._targets([x["lesion_map"] for x in step.batched_inputs], logits)
        cross_entropy, dice = mask_losses(logits, targets)
        return {
            "loss_mask_cross_entropy": self.weight * cross_entropy,
            "loss_mask_dice": self.weight * dice,
        }

    def _decode(self, outputs: TransformerOutput) -> Tensor:
        """(N, h, w) logits of "lesion"."""
        levels = outputs.tokens.split_levels(outputs.memory)[: self.num_levels]
        return self.module([level.permute(0, 3, 1, 2) for level in levels])

    def _targets(self, lesion_maps: Sequence[Tensor], logits: Tensor) -> CellTargets:
        size = (logits.shape[1], logits.shape[2])
        return cell_targets(lesion_maps, size, self.stride, logits.device)

    def measure_learning(self, samples: Iterable[Sample]) -> Mapping[str, LearningMeasure]:
        """Measure Dice of the masks at probability 0.5, see :class:`MaskQuality`."""
        detector, quality = self.trainer.detector, MaskQuality()
        with observing(detector):
            for sample in samples:
                size = tuple(sample["image"].shape[-2:])
                lesion_map = self._drawer.draw(sample, sample["to_original"], size)
                logits = self._decode(detector.detect(detector.preprocess_image([sample])))
                quality.add(logits > 0, self._targets([torch.from_numpy(lesion_map)], logits))
        measure = quality.measure()
        if measure is None:
            logger.info("Masks are not measured: no held-out image has a lesion with an outline.")
            return {}
        return {"masks/dice": measure}
