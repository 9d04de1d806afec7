"""The norm of each loss's gradient in the log of a run."""

from collections.abc import Mapping

from torch import Tensor

from medmask.stages.gradient_norms import GradientNorms, parts_of
from medmask.stages.loss_hook import LossHook


class GradientNormHook(LossHook):
    """Logs ``gradient_norm/<group>/<part>`` every ``period`` iterations; adds no loss.

    A group is detection, or a loss that a hook adds; a part is backbone, encoder or decoder: see
    :mod:`medmask.stages.gradient_norms`. It changes nothing in the run.
    """

    def __init__(self, period: int) -> None:
        """Create the hook.

        Args:
            period: iterations from one measurement to the next. A measurement takes a backward
                pass for each group.
        """
        super().__init__()
        self.period = period

    def before_step(self) -> None:
        self._measure: GradientNorms | None = None
        self._norms: dict[str, dict[str, float]] = {}
        if (self.trainer.iter + 1) % self.period == 0:
            self._measure = GradientNorms(parts_of(self.trainer.detector))

    def before_backward(self, losses: Mapping[str, Tensor]) -> None:
        if self._measure is not None:
            self._measure.add(losses, self.trainer.grad_scaler.get_scale())

    def after_backward(self) -> None:
        if self._measure is not None:
            self._norms = self._measure.compute()
            self._measure = None

    def after_step(self) -> None:
        for group, norms in self._norms.items():
            for part, norm in norms.items():
                self.trainer.storage.put_scalar(
                    f"gradient_norm/{group}/{part}", norm, smoothing_hint=False
                )
