"""Stage 2: masked autoencoding on unlabeled images, beside the supervised losses."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from detectron2.utils import comm
from torch import Tensor

from medmask.data.loaders import TrainLoader
from medmask.errors import InputError
from medmask.modeling import Domain, MedMask, SupervisedStep, TrainingStep
from medmask.stages.learning import LearningMeasure, Sample
from medmask.stages.loss_hook import LossHook
from medmask.stages.masked_autoencoding.decoder import MaskedAutoencoder, ReconstructionTarget
from medmask.stages.masked_autoencoding.gradient_share import GradientShare
from medmask.stages.masked_autoencoding.mask_ratio import MaskRatioSchedule
from medmask.stages.masked_autoencoding.masking import MASKING_STRATEGIES
from medmask.stages.masked_autoencoding.phases import Phases
from medmask.stages.masked_autoencoding.reconstruction import (
    reconstruction_loss,
    reconstruction_step,
)
from medmask.stages.masked_autoencoding.reconstruction_quality import measure_reconstructions
from medmask.stages.masked_autoencoding.standardization import ChannelStatistics
from medmask.stages.masked_autoencoding.target_network import TARGET_NETWORKS, TargetNetwork
from medmask.stages.masked_autoencoding.targets import TargetMaps
from medmask.stages.masked_autoencoding.visualization import draw_reconstructions
from medmask.utils.periods import Period
from medmask.utils.png_files import write_png

SCOPES = ("masked", "all")
_KEY = "loss_hooks.masked_autoencoder"
_LOSS = "loss_mae"


class MaskedAutoencoderHook(LossHook):
    """Adds ``loss_mae``: a batch of unlabeled images is partly masked and rebuilt in each step.

    The decoder that rebuilds backbone maps is made for the detector: its layers are like those of
    the detector's decoder. The mask ratio is logged as ``mask_ratio``.
    """

    module_name = "masked_autoencoder"
    module: MaskedAutoencoder
    loader: TrainLoader

    def __init__(
        self,
        loader: TrainLoader,
        *,
        mask_ratio: MaskRatioSchedule,
        targets: Mapping[str, Sequence[int]],
        num_layers: int = 2,
        positional_content: bool = True,
        masking: str = "independent",
        scope: str = "masked",
        weight: float = 1.0,
        gradient_share: float | None = None,
        target_network: str = "start",
        target_decay: float = 0.998,
        standardize: bool = True,
        warmup: Period | None = None,
        duration: Period | None = None,
        picture_period: Period | None = None,
        num_pictured: int = 4,
        output_dir: str = ".",
    ) -> None:
        """Create the hook.

        Args:
            loader: unlabeled images.
            mask_ratio: the share of tokens to mask, over the run.
            targets: name of a backbone map to rebuild -> (h, w) for which queries are learned; for
                maps of other sizes they are interpolated.
            num_layers: depth of the decoder that rebuilds them.
            positional_content: whether its masked queries carry their positions in their content,
                see :class:`MaskedAutoencoder`.
            masking: ``"independent"`` on each level or ``"aligned"``; see
                :mod:`medmask.stages.masked_autoencoding.masking`.
            scope: positions that count: ``"masked"`` ones or ``"all"``; padding never does.
            weight: of the loss.
            gradient_share: norm of the weighted loss's gradient in the encoder, as a share of
                detection's; the weight then follows it (:class:`GradientShare`) from the end of the
                warm-up on. None leaves the weight as it is.
            target_network: the backbone whose maps are rebuilt: the ``"model"``'s own, which
                changes while it is aimed at; a copy of it as at the ``"start"`` of the run; or its
                ``"average"``.
            target_decay: share of the average that stays in each iteration, in [0, 1).
            standardize: whether each channel of the maps is brought to mean 0 and variance 1; see
                :class:`ChannelStatistics`.
            warmup: iterations at the beginning, or a share of the run, in which the loss trains
                its own decoder alone, and the detector gets no gradient of it; None for none.
            duration: of masked autoencoding, in iterations or as a share of the run; None for all
                of it. Afterwards no image is loaded any more, and the loss is zero.
            picture_period: from one picture to the next, in iterations or as a share of the run;
                the last iteration with masked autoencoding is drawn in any case. 0 draws that one
                alone, None none.
            num_pictured: images in a picture; always the same, the first of the loader.
            output_dir: pictures are written to ``<output_dir>/pictures``.

        Raises:
            InputError: there is no target, no such strategy, scope or network, or the decay or
                the share is out of its range.
        """
        super().__init__(loader)
        if not targets:
            raise InputError(f"{_KEY}.targets is empty: name a map of the backbone")
        for option, value, choices in (
            ("masking", masking, sorted(MASKING_STRATEGIES)),
            ("scope", scope, SCOPES),
            ("target_network", target_network, TARGET_NETWORKS),
        ):
            if value not in choices:
                raise InputError(
                    f"{_KEY}.{option} is {value!r}: choose one of {', '.join(choices)}"
                )
        if not 0 <= target_decay < 1:
            raise InputError(f"{_KEY}.target_decay is {target_decay}, but must lie in [0, 1)")
        self.mask_ratio = mask_ratio
        self.targets = targets
        self.num_layers = num_layers
        self.positional_content = positional_content
        self.masking = masking
        self.scope = scope
        if gradient_share is not None and not 0 < gradient_share < math.inf:
            raise InputError(f"{_KEY}.gradient_share is {gradient_share}, but must be positive")
        if gradient_share is not None and not weight > 0:
            raise InputError(
                f"{_KEY}.weight is {weight}, but must be positive: gradient_share multiplies it"
            )
        self.weighting = GradientShare(weight, gradient_share)
        self.target_maps = TargetMaps(
            TargetNetwork(target_network, target_decay),
            ChannelStatistics() if standardize else None,
        )
        self.warmup = warmup
        self.duration = duration
        self.picture_period = picture_period
        self.num_pictured = num_pictured
        self.picture_dir = Path(output_dir) / "pictures"
        self._step_losses: list[Tensor] = []

    def build(self, detector: MedMask) -> None:
        targets = {name: _make_target(detector, name, size) for name, size in self.targets.items()}
        autoencoder = MaskedAutoencoder(
            targets=targets,
            num_layers=self.num_layers,
            positional_content=self.positional_content,
            **detector.transformer.layer_options,
        )
        if self.target_maps.statistics is not None:
            autoencoder.begin_with_the_mean()
        self.register_module(detector, autoencoder)
        self.target_maps.network.build(detector)

    def before_train(self) -> None:
        if self.needs_batches(self.trainer.start_iter):  # else its workers would wait for ever
            super().before_train()
        if self.trainer.start_iter == 0:
            # The detector got its weights after build().
            self.target_maps.network.start(self.trainer.detector)

    def set_run_length(self, max_iter: int) -> None:
        self.phases = Phases.of_run(
            max_iter,
            duration=self.duration,
            warmup=self.warmup,
            picture_period=self.picture_period,
            key=_KEY,
        )
        self.mask_ratio.set_run_length(max_iter, self.phases.num_active)

    @property
    def is_active(self) -> bool:
        """True if this iteration has masked autoencoding."""
        return self.needs_batches(self.trainer.iter)

    def needs_batches(self, iteration: int) -> bool:
        return self.phases.is_active(iteration)

    def before_step(self) -> None:
        self._step_losses.clear()
        self.target_maps.begin_iteration()
        since_warmup = self.trainer.iter - self.phases.num_warmup
        self.weighting.begin_iteration(
            self.trainer.detector, since_warmup if self.is_active else -1
        )
        if self.is_active:
            self._current_ratio = self.mask_ratio.ratio(self.trainer.iter / self.trainer.max_iter)
            self.trainer.storage.put_scalar("mask_ratio", self._current_ratio, smoothing_hint=False)
            if self.weighting.share is not None:
                self.trainer.storage.put_scalar(
                    "mae_weight", self.weighting.weight, smoothing_hint=False
                )

    def observation_step(self) -> TrainingStep:
        """Make the step of this iteration for a look at it, which changes no state of the hook."""
        return self._reconstruction_step(for_training=False)

    def _reconstruction_step(self, *, for_training: bool) -> TrainingStep:
        return functools.partial(
            reconstruction_step,
            autoencoder=self.module,
            masking=MASKING_STRATEGIES[self.masking],
            mask_ratio=self._current_ratio,
            make_targets=functools.partial(self.target_maps.make, for_training=for_training),
            trains_detector=not self.phases.is_warmup(self.trainer.iter),
        )

    def step_losses(self) -> dict[str, Tensor]:
        if not self.is_active:
            return {}
        training_step = self._reconstruction_step(for_training=True)
        step = self.trainer.model(self.next_batch(), step=training_step)
        loss = reconstruction_loss(step, masked_only=self.scope == "masked")
        self._step_losses.append(loss.detach())
        return {_LOSS: self.weighting.weight * loss}

    def before_backward(self, losses: Mapping[str, Tensor]) -> None:
        self.weighting.add(losses, _LOSS, self.trainer.grad_scaler.get_scale())

    def after_backward(self) -> None:
        self.weighting.measure(_LOSS)

    def output_losses(self, step: SupervisedStep) -> dict[str, Tensor]:
        if self.is_active or step.domain is not Domain.SOURCE:
            return {}
        # Distributed training waits for a gradient of every parameter.
        nothing = sum(0 * parameter.sum() for parameter in self.module.parameters())
        return {_LOSS: cast(Tensor, nothing)}

    def after_step(self) -> None:
        if not self.is_active:
            return
        for loss in self._step_losses:
            self.mask_ratio.add_loss(loss)
        self.target_maps.end_iteration(self.trainer.detector)
        self.weighting.end_iteration()
        if self.phases.has_picture(self.trainer.iter) and comm.is_main_process():
            self._draw()
        done = self.trainer.iter + 1
        self.mask_ratio.end_iteration(done)
        if done == self.phases.num_active:
            self._batches = iter(())  # lets the loader's workers go

    def _draw(self) -> None:
        stream = self.loader.stream
        caption = f"{self._current_ratio:.0%} masked"
        with self.trainer.failing_after_step():  # images are read and written here
            batch = [stream[index] for index in range(self.num_pictured)]
            picture = draw_reconstructions(
                self.trainer.detector, batch, self.observation_step(), caption
            )
            write_png(self.picture_dir / f"reconstruction_{self.trainer.iter + 1:07}.png", picture)
            self.trainer.storage.put_image("reconstruction", picture.transpose(2, 0, 1))

    def last_iteration(self) -> int:
        return self.phases.num_active

    def measure_learning(self, samples: Iterable[Sample]) -> Mapping[str, LearningMeasure]:
        """Measure R2 of masked positions against the mean of each position, for each target."""
        if not self.is_active:
            return {}
        self._current_ratio = self.mask_ratio.ratio(self.trainer.iter / self.trainer.max_iter)
        measures = measure_reconstructions(
            self.trainer.detector, samples, self.observation_step(), self.targets
        )
        return {f"mae/R2_{name}": measure for name, measure in measures.items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "mask_ratio": self.mask_ratio.state_dict(),
            "targets": self.target_maps.state_dict(),
            "weighting": self.weighting.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.mask_ratio.load_state_dict(state_dict["mask_ratio"])
        self.target_maps.load_state_dict(state_dict["targets"])
        self.weighting.load_state_dict(state_dict["weighting"])


def _make_target(detector: MedMask, name: str, base_size: Sequence[int]) -> ReconstructionTarget:
    """Describe one of the backbone's maps for the autoencoder.

    Raises:
        InputError: the detector does not read a map of that name.
    """
    names = detector.neck.in_features
    if name not in names:
        raise InputError(
            f"{_KEY}.targets names the map {name}, but the detector reads {', '.join(names)}"
        )
    channels = detector.backbone.output_shape()[name].channels
    return ReconstructionTarget(names.index(name), channels, tuple(base_size))
