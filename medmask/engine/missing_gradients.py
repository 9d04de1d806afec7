"""Parameters that are to be trained, but that no loss depends on."""

import logging

from torch import nn

from medmask.utils.counts import counted

logger = logging.getLogger(__name__)

_MOST_SHOWN = 3


def warn_of_missing_gradients(model: nn.Module) -> None:
    """Warn of parameters that a backward pass has left without a gradient.

    They never learn, as those of a stage whose loss was detached from them; and several processes
    would wait for their gradients without end.

    Args:
        model: after the backward pass of all losses.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    missing = sorted(name for name, p in trained.items() if p.grad is None)
    if missing:
        rest = " ..." if len(missing) > _MOST_SHOWN else ""
        logger.warning(
            f"No loss depends on {len(missing)} of {counted(len(trained), 'trained parameter')} "
            f"({', '.join(missing[:_MOST_SHOWN])}{rest}): they do not learn, and training in "
            "several processes waits for them. Let a loss of the stage depend on them, or switch "
            "their requires_grad off."
        )
