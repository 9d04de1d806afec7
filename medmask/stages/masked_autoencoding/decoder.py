"""The decoder that rebuilds backbone maps from the visible tokens.

Masked autoencoding (He et al., 2022) on the multi-scale feature maps of Deformable DETR, as masked
retraining does it (Zhao et al., "Masked Retraining Teacher-Student Framework for Domain Adaptive
Object Detection", 2023): an auxiliary deformable decoder has one query for each position of the
map to rebuild. It is thrown away after training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medmask.layers import SinePositionEncoding, inverse_sigmoid
from medmask.layers.visible_tokens import find_visible_tokens, gather_tokens
from medmask.modeling.decoder import DeformableDecoderLayer, references_on_levels
from medmask.modeling.multi_scale_tokens import MultiScaleTokens


@dataclass(frozen=True)
class ReconstructionTarget:
    """A backbone map to rebuild."""

    level: int
    """the transformer's level that is made of this map, counted from the finest, 0"""
    channels: int
    """of the map"""
    base_size: Sequence[int]
    """(h, w) for which queries are learned; for maps of other sizes they are interpolated"""


class MaskedAutoencoder(nn.Module):
    """Decoder from the memory of a masked encoder to the backbone's maps.

    A query has two halves. The position half is learned for each position of the map. So is the
    content half, but where a token is masked or padding, one shared mask query replaces it: its
    content is for the decoder to find out.

    Fresh queries know their positions: their position halves are the encoder's position encodings,
    and the linear layer that turns them into reference points is fitted to give just these.

    Positions are those of the unpadded image, as the encoder's are, and queries in the padding are
    seen by no other: from the same memory an image is rebuilt alike beside images of any size. As
    published (without ``positional_content``) they are those of the padded map, although reference
    points are shares of the unpadded image: queries of a padded image then look elsewhere than
    where they stand.
    """

    def __init__(
        self,
        *,
        targets: Mapping[str, ReconstructionTarget],
        embed_dim: int,
        num_heads: int,
        num_levels: int,
        num_points: int,
        feed_forward_dim: int,
        num_layers: int = 2,
        dropout: float = 0.0,
        positional_content: bool = False,
    ) -> None:
        """Create the decoder.

        Args:
            targets: name of the backbone's map -> how it is rebuilt.
            embed_dim: C, of the encoder, as the next four.
            num_heads: attention heads.
            num_levels: L, number of feature maps.
            num_points: points that a head samples on each level.
            feed_forward_dim: hidden channels of the feed-forward networks.
            num_layers: depth.
            dropout: in [0, 1).
            positional_content: whether the content of a masked position begins as the mask query
                plus the position half, as in masked autoencoders of images. Deformable layers take
                position halves to know where to look, and never into what they put out: without
                this no output can depend on its position but by way of the visible tokens. False is
                the published form, also in what a position is where images are padded.
        """
        super().__init__()
        self.targets = dict(targets)
        self.embed_dim = embed_dim
        self.num_levels = num_levels
        self.positional_content = positional_content
        self.queries = nn.ParameterDict(
            {name: _initial_queries(embed_dim, t.base_size) for name, t in self.targets.items()}
        )
        self.mask_query = nn.Parameter(_small_noise(1, embed_dim))
        self.reference_points = nn.Linear(embed_dim, 2)
        self.layers = nn.ModuleList(
            DeformableDecoderLayer(
                embed_dim=embed_dim,
                num_heads=num_heads,
                feed_forward_dim=feed_forward_dim,
                dropout=dropout,
                num_levels=num_levels,
                num_points=num_points,
            )
            for _ in range(num_layers)
        )
        self.output_projections = nn.ModuleDict(
            {name: nn.Linear(embed_dim, t.channels) for name, t in self.targets.items()}
        )
        for name, parameter in self.layers.named_parameters():
            if "feed_forward" in name and parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self._point_queries_to_their_positions()

    def forward(
        self,
        memory: Tensor,
        tokens: MultiScaleTokens,
        masked: Tensor,
        visible_indices: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Rebuild every target.

        Args:
            memory: (N, S, C), the encoder's output where ``masked`` tokens gave no value.
            tokens: the encoder's input. Reference points depend on its padding, never on the mask.
            masked: (N, S) bool, True where a token is masked.
            visible_indices: of the tokens that are neither masked nor padding, by
                ``find_visible_tokens``, if that is known.

        Returns:
            {name: (N, C_i, h, w)}, of the size of the target's level.
        """
        value_mask = masked | tokens.padding_mask
        if visible_indices is None:
            visible_indices = find_visible_tokens(value_mask)
        memory = gather_tokens(memory, visible_indices)
        unknown = tokens.split_levels(value_mask)
        return {
            name: self._rebuild(
                name, memory, tokens, value_mask, visible_indices, unknown[target.level]
            )
            for name, target in self.targets.items()
        }

    @torch.no_grad()
    def begin_with_the_mean(self) -> None:
        """Have fresh output layers give zero everywhere, the mean of standardized maps."""
        for projection in self.output_projections.values():
            assert isinstance(projection, nn.Linear)
            nn.init.zeros_(projection.weight)
            nn.init.zeros_(projection.bias)

    def _rebuild(
        self,
        name: str,
        memory: Tensor,
        tokens: MultiScaleTokens,
        value_mask: Tensor,
        visible_indices: Tensor,
        unknown: Tensor,
    ) -> Tensor:
        """Rebuild one map, given the (N, h, w) positions of which nothing is known."""
        size = unknown.shape[1:]
        level = self.targets[name].level
        unseen_queries = None
        if self.positional_content:
            centers = tokens.split_levels(tokens.centers)[level].flatten(1, 2)
            positions, contents = self._queries_at(name, centers).chunk(2, dim=-1)  # (N, h*w, C)
            fill = self.mask_query + positions
            unseen_queries = tokens.split_levels(tokens.padding_mask)[level].flatten(1)
        else:
            positions, contents = self._queries_of_size(name, size).chunk(2, dim=-1)  # (h*w, C)
            fill = self.mask_query
        queries = torch.where(unknown.flatten(1)[..., None], fill, contents)
        positions = positions.expand(len(memory), -1, -1)
        references = self.reference_points(positions).float().sigmoid()
        reference_points = references_on_levels(references, tokens.valid_ratios)
        for layer in self.layers:
            queries = layer(
                queries,
                positions,
                reference_points,
                memory,
                tokens.spatial_shapes,
                tokens.level_start_index,
                value_mask,
                visible_indices,
                unseen_queries=unseen_queries,
            )
        return self.output_projections[name](queries).transpose(1, 2).unflatten(2, size)

    def _queries_at(self, name: str, centers: Tensor) -> Tensor:
        """Interpolate the learned queries at points of the unpadded image.

        Args:
            name: of the target.
            centers: (N, h*w, 2) as (x, y) in [0, 1]; points in the padding get the border's.

        Returns:
            (N, h*w, 2*C).
        """
        maps = self.queries[name].T.unflatten(1, tuple(self.targets[name].base_size))
        queries = F.grid_sample(
            maps.expand(len(centers), -1, -1, -1),
            2 * centers[:, None].to(maps.dtype) - 1,
            padding_mode="border",
            align_corners=False,
        )
        return queries[:, :, 0].transpose(1, 2)

    def _queries_of_size(self, name: str, size: Sequence[int]) -> Tensor:
        """Interpolate the learned queries to a map of any size (h, w): (h*w, 2*C)."""
        queries, base_size = self.queries[name], tuple(self.targets[name].base_size)
        if tuple(size) == base_size:
            return queries
        maps = queries.T.unflatten(1, base_size)[None]
        return F.interpolate(maps, tuple(size), mode="bilinear")[0].flatten(1).T

    @torch.no_grad()
    def _point_queries_to_their_positions(self) -> None:
        """Fit the reference points (least squares on the logits) to the queries' positions."""
        positions, logits = [], []
        for name, target in self.targets.items():
            h, w = target.base_size
            y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in (h, w))
            centers = torch.cartesian_prod(y, x).flip(1)  # (h*w, 2) as (x, y)
            logits.append(inverse_sigmoid(centers))
            positions.append(self.queries[name][:, : self.embed_dim].double())
        inputs = torch.cat(positions)
        inputs = torch.cat((inputs, torch.ones_like(inputs[:, :1])), dim=1)
        # An exact fit has weights in the hundreds, which half precision cannot add up. Without the
        # small singular values they stay below 10, and the points are within a cell.
        fit = torch.linalg.lstsq(inputs, torch.cat(logits), rcond=1e-3, driver="gelsd").solution
        self.reference_points.weight.copy_(fit[:-1].T)
        self.reference_points.bias.copy_(fit[-1])


def _initial_queries(embed_dim: int, size: Sequence[int]) -> nn.Parameter:
    """Make queries (h*w, 2*C): position encodings, then noise."""
    h, w = size
    whole = torch.zeros(1, h, w, dtype=torch.bool)
    positions = SinePositionEncoding(embed_dim)(whole)[0].flatten(1).T
    return nn.Parameter(torch.cat((positions, _small_noise(h * w, embed_dim)), dim=1))


def _small_noise(*shape: int) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(shape), std=0.02)
