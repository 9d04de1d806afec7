"""The graph as a function of tensors."""

import torch

from medmask.export.graph import rank_rejected
from medmask.modeling.proposals import REJECTED_LOGIT


def test_no_two_proposals_are_equally_good():
    logits = torch.randn(2, 50_000)
    logits[torch.rand(logits.shape) < 0.5] = REJECTED_LOGIT
    ranks = rank_rejected(logits)
    assert len(ranks[0].unique()) == len(logits[0][logits[0] > REJECTED_LOGIT].unique()) + int(
        (logits[0] == REJECTED_LOGIT).sum()
    )
    expected = logits.sort(dim=1, descending=True, stable=True).indices
    assert torch.equal(ranks.sort(dim=1, descending=True, stable=True).indices, expected)
