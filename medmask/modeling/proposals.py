"""Two-stage detection: the encoder's tokens propose the boxes that the decoder refines."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medmask.layers import box_position_encoding
from medmask.modeling.decoder import apply_box_deltas
from medmask.modeling.heads import build_box_head, build_class_head
from medmask.modeling.multi_scale_tokens import MultiScaleTokens

ANCHOR_SIZE = 0.05
"""Side of a token's anchor on the finest level, as a share of the image; doubles per level."""
BORDER = 0.01
"""Tokens nearer to the image's border than this share of it propose nothing."""
REJECTED_LOGIT = -1e4
"""Objectness of a token that may not propose: no gradient, last in every ranking."""


@dataclass(frozen=True)
class ProposalOutput:
    """One proposal per encoder token."""

    logits: Tensor
    """(N, S, 1): objectness"""
    boxes: Tensor
    """(N, S, 4) as (cx, cy, w, h) in [0, 1] of the unpadded image"""
    anchors: Tensor
    """(N, S, 4): the boxes that the tokens stand for before any correction"""
    accepted: Tensor
    """(N, S) bool: True where a token may propose; neither padding nor at the image's border"""


@dataclass(frozen=True)
class DecoderInput:
    """Start values of the decoder."""

    queries: Tensor
    """(N, Q, C)"""
    query_positions: Tensor
    """(N, Q, C)"""
    references: Tensor
    """(N, Q, 4), without gradient"""


class ProposalGenerator(nn.Module):
    """Scores every encoder token and turns the best into queries (Zhu et al., 2021, section 4.2).

    Objectness knows no classes, so that a checkpoint fits data sets with other classes.
    """

    def __init__(self, embed_dim: int, num_queries: int):
        super().__init__()
        self.num_queries = num_queries
        self.projection = nn.Linear(embed_dim, embed_dim)
        self.norm = nn.LayerNorm(embed_dim)
        self.objectness_head = build_class_head(embed_dim, 1)
        self.box_head = build_box_head(embed_dim, initial_size_logit=0.0)
        self.query_projection = nn.Linear(2 * embed_dim, 2 * embed_dim)
        self.query_norm = nn.LayerNorm(2 * embed_dim)

    def propose(self, memory: Tensor, features: MultiScaleTokens) -> ProposalOutput:
        """Predict objectness and a box for every token of ``memory`` (N, S, C)."""
        centers = features.centers
        # Tokens in the padding have centers beyond 1, so the border rule rejects them too.
        accepted = ((centers > BORDER) & (centers < 1 - BORDER)).all(-1)
        rejected = ~accepted[..., None]
        sides = torch.cat(
            [
                centers.new_full((h * w,), ANCHOR_SIZE * 2.0**level)
                for level, (h, w) in enumerate(features.sizes)
            ]
        )
        sides = sides[None, :, None].expand(centers.shape[0], -1, 2)
        anchors = torch.cat((centers, sides), dim=-1)

        # What stands in the padding has no way into a query, even if tokens are too few.
        tokens = self.norm(self.projection(memory.masked_fill(rejected, 0)))
        logits = self.objectness_head(tokens).float().masked_fill(rejected, REJECTED_LOGIT)
        boxes = apply_box_deltas(anchors, self.box_head(tokens))
        return ProposalOutput(logits, boxes, anchors, accepted)

    def select(self, proposals: ProposalOutput) -> DecoderInput:
        """Make queries of the best proposals; no gradient flows back into them.

        Of equal ones, such as those of rejected tokens, the first go first, on every device. A
        batch with fewer tokens than queries gives as many queries as it has tokens.
        """
        ranking = proposals.logits[..., 0].sort(dim=1, descending=True, stable=True).indices
        best = ranking[:, : self.num_queries]
        references = proposals.boxes.detach().gather(1, best[..., None].expand(-1, -1, 4))
        return self.make_queries(references)

    def make_queries(self, references: Tensor) -> DecoderInput:
        """Make queries that start at boxes (N, Q, 4) in [0, 1] of the unpadded image."""
        channels = self.query_projection.in_features // 4
        encoded = box_position_encoding(references, channels)
        positions, contents = self.query_norm(self.query_projection(encoded)).chunk(2, dim=-1)
        return DecoderInput(contents, positions, references)
