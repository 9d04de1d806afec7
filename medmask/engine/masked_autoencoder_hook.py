"""Stage 2: masked autoencoding on unlabelled images, beside the supervised losses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from detectron2.utils import comm
from torch import Tensor

from medmask.engine.loss_hook import LossHook
from medmask.engine.mask_ratio import MaskRatioSchedule
from medmask.engine.overlay import write_png
from medmask.engine.reconstruction_picture import draw_reconstructions
from medmask.errors import InputError
from medmask.modeling import DetectionPass, Domain, MaskedAutoencodingObjective, MedMask
from medmask.modeling.masked_autoencoding_objective import MODULE_NAME, find_masked_autoencoder

if TYPE_CHECKING:
    from medmask.data.loaders import TrainLoader


class MaskedAutoencoderHook(LossHook):
    """Adds ``loss_mae``: a batch of unlabelled images is partly hidden and rebuilt in each step.

    What is rebuilt, and by what, is the detector's ``training_modules["masked_autoencoder"]``.
    Epochs are those of the unlabelled images. The mask ratio is logged as ``mask_ratio``.
    """

    def __init__(
        self,
        loader: TrainLoader,
        *,
        mask_ratio: MaskRatioSchedule,
        masking: str = "independent",
        scope: str = "hidden",
        weight: float = 1.0,
        last_epoch: int | None = None,
        picture_period: int | None = None,
        num_pictured: int = 4,
        output_dir: str = ".",
    ) -> None:
        """Create the hook.

        Args:
            loader: unlabelled images.
            mask_ratio: the share of tokens to hide, over the run.
            masking: ``"independent"`` on each level or ``"aligned"``; see
                :mod:`medmask.modeling.masking`.
            scope: positions that count: ``"hidden"`` ones or ``"all"``.
            weight: of the loss.
            last_epoch: the last one with masked autoencoding, counted from 1; None for all. After
                it no image is loaded any more, and the loss is zero.
            picture_period: iterations between pictures, as for evaluations: 0 draws after the last
                iteration only. None draws none.
            num_pictured: images in a picture; always the same, the first of the loader.
            output_dir: pictures are written to ``<output_dir>/pictures``.

        Raises:
            InputError: an option makes no sense.
        """
        super().__init__(loader)
        if last_epoch is not None and last_epoch < 1:
            raise InputError(
                f"loss_hooks.masked_autoencoder.last_epoch is {last_epoch}, but epochs are counted "
                "from 1: leave the hook out to train without it"
            )
        self.mask_ratio = mask_ratio
        self.objective = MaskedAutoencodingObjective(
            masking=masking, mask_ratio=mask_ratio.ratio(0.0), scope=scope, weight=weight
        )
        self.last_epoch = last_epoch
        self.picture_period = picture_period
        self.num_pictured = num_pictured
        self.picture_dir = Path(output_dir) / "pictures"
        self._epoch_loss: float | Tensor = 0.0
        self._epoch_batches = 0

    def build(self, detector: MedMask) -> None:
        find_masked_autoencoder(detector)

    @property
    def is_active(self) -> bool:
        """Whether this iteration has masked autoencoding."""
        return self.last_epoch is None or self.epoch < self.last_epoch

    def before_step(self) -> None:
        if self.is_active:
            progress = self.trainer.iter / self.trainer.max_iter
            self.objective.mask_ratio = self.mask_ratio.ratio(progress)
            self.trainer.storage.put_scalar(
                "mask_ratio", self.objective.mask_ratio, smoothing_hint=False
            )

    def step_losses(self) -> dict[str, Tensor]:
        if not self.is_active:
            return {}
        losses = self.trainer.model(self.next_batch(), objective=self.objective)
        self._epoch_loss = self._epoch_loss + losses["loss_mae"].detach()
        self._epoch_batches += 1
        return losses

    def pass_losses(self, model: MedMask, detection: DetectionPass) -> dict[str, Tensor]:
        if self.is_active or detection.domain is not Domain.SOURCE:
            return {}
        # Distributed training waits for a gradient of every parameter.
        parameters = model.training_modules[MODULE_NAME].parameters()
        return {"loss_mae": sum(0 * parameter.sum() for parameter in parameters)}

    def after_step(self) -> None:
        if not self.is_active:
            return
        if self._picture_is_due and comm.is_main_process():
            self._draw()
        if self.ends_epoch:
            self._end_epoch()

    def _end_epoch(self) -> None:
        everybody = comm.all_gather((float(self._epoch_loss), self._epoch_batches))
        loss = sum(loss for loss, _ in everybody) / sum(batches for _, batches in everybody)
        progress = (self.trainer.iter + 1) / self.trainer.max_iter
        self.mask_ratio.end_epoch(loss, progress)
        self._epoch_loss, self._epoch_batches = 0.0, 0
        if self.epoch + 1 == self.last_epoch:
            self._batches = iter(())  # lets the loader's workers go

    @property
    def _picture_is_due(self) -> bool:
        if self.picture_period is None:
            return False
        done = self.trainer.iter + 1
        is_periodic = self.picture_period > 0 and done % self.picture_period == 0
        return is_periodic or done == self.trainer.max_iter

    def _draw(self) -> None:
        stream = self.loader.stream
        batch = [stream[position] for position in range(self.num_pictured)]
        picture = draw_reconstructions(self.trainer.detector, batch, self.objective)
        write_png(self.picture_dir / f"reconstruction_{self.trainer.iter + 1:07}.png", picture)
        self.trainer.storage.put_image("reconstruction", picture.transpose(2, 0, 1))

    def state_dict(self) -> dict[str, Any]:
        return {
            "mask_ratio": self.mask_ratio.state_dict(),
            "epoch_loss": float(self._epoch_loss),
            "epoch_batches": self._epoch_batches,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.mask_ratio.load_state_dict(state_dict["mask_ratio"])
        self._epoch_loss = state_dict["epoch_loss"]
        self._epoch_batches = state_dict["epoch_batches"]
