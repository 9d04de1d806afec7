"""The deformable transformer: encoder, queries, decoder (Deformable DETR, Zhu et al., 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor, nn

from medmask.modeling.decoder import DecoderOutput, DeformableDecoder
from medmask.modeling.encoder import DeformableEncoder
from medmask.modeling.multi_scale_tokens import MultiScaleTokens, flatten_levels
from medmask.modeling.proposals import DecoderInput, ProposalGenerator, ProposalOutput


@dataclass(frozen=True)
class TransformerOutput:
    """Forward outputs."""

    tokens: MultiScaleTokens
    """the input"""
    memory: Tensor
    """(N, S, C): the encoder's output"""
    decoder: DecoderOutput
    proposals: ProposalOutput | None
    """of the two-stage detector"""


class LayerOptions(TypedDict):
    """Keyword arguments of a deformable layer."""

    embed_dim: int
    num_heads: int
    feed_forward_dim: int
    dropout: float
    num_levels: int
    num_points: int


class LearnedQueries(nn.Module):
    """Queries that are parameters: each has a position and a content, the same for all images."""

    def __init__(self, embed_dim: int, num_queries: int):
        super().__init__()
        self.embedding = nn.Embedding(num_queries, 2 * embed_dim)
        self.reference_points = nn.Linear(embed_dim, 2)
        nn.init.xavier_uniform_(self.reference_points.weight)
        nn.init.zeros_(self.reference_points.bias)

    def forward(self, batch_size: int) -> DecoderInput:
        positions, contents = self.embedding.weight.chunk(2, dim=-1)
        references = self.reference_points(positions).float().sigmoid()
        return DecoderInput(
            *(x.expand(batch_size, -1, -1) for x in (contents, positions, references))
        )


class DeformableTransformer(nn.Module):
    """Encoder, queries and decoder, from feature maps to boxes and class logits.

    ``encode`` and ``decode`` are separate so that a masked autoencoder can share the encoder.

    Attributes:
        embed_dim: C, channels of tokens and queries.
        num_levels: L, number of feature maps.
        num_classes: K, background not counted.
        two_stage: whether queries start from proposals.
        layer_options: the sizes that all its deformable layers share, as their keyword arguments.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        num_queries: int,
        num_levels: int,
        embed_dim: int = 256,
        num_heads: int = 8,
        num_points: int = 4,
        feed_forward_dim: int = 1024,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dropout: float = 0.1,
        box_refinement: bool = False,
        two_stage: bool = False,
        gradient_checkpointing: bool = False,
    ):
        """Create encoder, decoder and queries.

        Args:
            num_classes: classes, background not counted.
            num_queries: Q, the largest number of detections an image can have.
            num_levels: L, number of feature maps.
            embed_dim: C, divisible by ``num_heads`` and 4.
            num_heads: attention heads.
            num_points: points that a head samples on each level.
            feed_forward_dim: hidden channels of the feed-forward networks.
            num_encoder_layers: encoder depth.
            num_decoder_layers: decoder depth.
            dropout: in [0, 1).
            box_refinement: each decoder layer corrects the boxes of the one before.
            two_stage: queries start from the encoder's best proposals.
            gradient_checkpointing: recompute layers in the backward pass: less memory, more time.
        """
        super().__init__()
        self.embed_dim = embed_dim
        self.num_levels = num_levels
        self.num_classes = num_classes
        self.two_stage = two_stage
        self.layer_options = LayerOptions(
            embed_dim=embed_dim,
            num_heads=num_heads,
            feed_forward_dim=feed_forward_dim,
            dropout=dropout,
            num_levels=num_levels,
            num_points=num_points,
        )
        self.level_embedding = nn.Parameter(torch.randn(num_levels, embed_dim))
        self.encoder = DeformableEncoder(
            num_encoder_layers, gradient_checkpointing, **self.layer_options
        )
        self.decoder = DeformableDecoder(
            num_decoder_layers,
            gradient_checkpointing,
            num_classes,
            box_refinement,
            reference_is_box=two_stage,
            **self.layer_options,
        )
        if two_stage:
            self.proposals = ProposalGenerator(embed_dim, num_queries)
        else:
            self.queries = LearnedQueries(embed_dim, num_queries)
        for name, parameter in self.named_parameters():
            if "feed_forward" in name and parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def flatten(
        self,
        maps: Sequence[Tensor],
        positions: Sequence[Tensor],
        padding_masks: Sequence[Tensor],
    ) -> MultiScaleTokens:
        """Flatten the maps and tell the levels apart.

        Args:
            maps: per level (N, C, h, w).
            positions: per level (N, C, h, w) position encodings.
            padding_masks: per level (N, h, w) bool, True where the map is padding.
        """
        positions = [
            p + e[:, None, None] for p, e in zip(positions, self.level_embedding, strict=True)
        ]
        return flatten_levels(maps, positions, padding_masks)

    def encode(
        self,
        tokens: MultiScaleTokens,
        value_mask: Tensor | None = None,
        visible_indices: Tensor | None = None,
    ) -> Tensor:
        """Compute the memory (N, S, C); see :meth:`DeformableEncoder.forward`."""
        return self.encoder(tokens, value_mask, visible_indices)

    def decode(
        self, memory: Tensor, tokens: MultiScaleTokens
    ) -> tuple[DecoderOutput, ProposalOutput | None]:
        """Predict boxes and logits from the memory (N, S, C)."""
        proposals = None
        if self.two_stage:
            proposals = self.proposals.propose(memory, tokens)
            start = self.proposals.select(proposals)
        else:
            start = self.queries(len(memory))
        output = self.decoder(
            start.queries, start.query_positions, start.references, memory, tokens
        )
        return output, proposals

    def decode_boxes(
        self,
        references: Tensor,
        memory: Tensor,
        tokens: MultiScaleTokens,
        attention_mask: Tensor | None = None,
    ) -> DecoderOutput:
        """Decode given boxes instead of the best proposals; of two-stage transformers only.

        Args:
            references: (N, Q, 4) as (cx, cy, w, h) in [0, 1] of the unpadded image.
            memory: (N, S, C) from the encoder.
            tokens: the levels that ``memory`` belongs to.
            attention_mask: see :meth:`DeformableDecoder.forward`.
        """
        start = self.proposals.make_queries(references)
        return self.decoder(
            start.queries, start.query_positions, start.references, memory, tokens, attention_mask
        )

    def forward(self, tokens: MultiScaleTokens) -> TransformerOutput:
        """Encode and decode tokens, as :meth:`flatten` makes them."""
        memory = self.encode(tokens)
        return TransformerOutput(tokens, memory, *self.decode(memory, tokens))
