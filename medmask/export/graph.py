"""The detector as a function of tensors alone, which a tracer turns into a graph.

Sizes of images and of batches are read from the tensors wherever they are used, so that they stay
variables of the graph; Python's own numbers would become constants of it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medmask.export.deformable_attention import with_gathering_attention
from medmask.modeling import MedMask
from medmask.modeling.multi_scale_tokens import MultiScaleTokens, token_centers, valid_ratio
from medmask.modeling.proposals import REJECTED_LOGIT

INPUTS = ("images", "sizes")
OUTPUTS = ("boxes", "scores", "classes")


class DetectorGraph(nn.Module):
    """From a padded batch to detections: what :meth:`MedMask.inference` suppresses overlaps of.

    The model is copied, as an inference module with deformable attention by gathers.
    """

    def __init__(self, model: MedMask) -> None:
        super().__init__()
        self.model = with_gathering_attention(model).requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect.

        Args:
            images: (N, 3, H, W) float32 RGB in [0, 255], each in the upper left corner; what is
                below it and to the right of it does not count.
            sizes: (N, 2) int64, (height, width) of each image in pixels.

        Returns:
            Of each image the K pairs (query, class) with the highest scores, in descending order:
            boxes (N, K, 4) float32 as (x0, y0, x1, y1) in pixels, clipped to the image, scores
            (N, K) in [0, 1] and classes (N, K) int64. If a prediction for an image is not finite,
            none of its scores is.
        """
        model = self.model
        images = self._pad(images)
        rows = _is_padding(sizes[:, :1], images.shape[2])
        columns = _is_padding(sizes[:, 1:], images.shape[3])
        pixels = (images - model.pixel_mean) / model.pixel_std
        pixels = pixels.masked_fill((rows[:, :, None] | columns[:, None])[:, None], 0)
        tokens = self._flatten(model.neck(model.backbone(pixels)), rows, columns)
        logits, boxes = self._decode(tokens)
        return self._select(logits, boxes, sizes)

    def _pad(self, images: Tensor) -> Tensor:
        """Append rows and columns until the backbone can divide the sizes."""
        divisor = self.model.backbone.size_divisibility
        if divisor <= 1:
            return images
        height, width = images.shape[-2:]
        return F.pad(images, (0, (-width) % divisor, 0, (-height) % divisor))

    def _flatten(self, maps: Sequence[Tensor], rows: Tensor, columns: Tensor) -> MultiScaleTokens:
        """Do what :meth:`MedMask.make_tokens` does.

        Args:
            maps: per level (N, C, h, w).
            rows: (N, H) bool, True where a row of the batch is padding.
            columns: (N, W) bool, likewise.
        """
        model = self.model
        sizes = [(m.shape[2], m.shape[3]) for m in maps]
        masks = [_resize(rows, h)[:, :, None] | _resize(columns, w)[:, None] for h, w in sizes]
        positions = [
            model.position_encoding(mask) + embedding[:, None, None]
            for mask, embedding in zip(masks, model.transformer.level_embedding, strict=True)
        ]
        spatial_shapes = torch.stack([torch._shape_as_tensor(m)[2:] for m in maps])
        areas = spatial_shapes[:, 0] * spatial_shapes[:, 1]
        valid_ratios = torch.stack([valid_ratio(mask) for mask in masks], dim=1)
        return MultiScaleTokens(
            tokens=torch.cat([m.flatten(2).transpose(1, 2) for m in maps], dim=1),
            positions=torch.cat([p.flatten(2).transpose(1, 2) for p in positions], dim=1),
            padding_mask=torch.cat([m.flatten(1) for m in masks], dim=1),
            sizes=sizes,
            spatial_shapes=spatial_shapes,
            level_start_index=areas.cumsum(0) - areas,
            valid_ratios=valid_ratios,
            centers=token_centers(sizes, valid_ratios),
        )

    def _decode(self, tokens: MultiScaleTokens) -> tuple[Tensor, Tensor]:
        """Logits (N, Q, classes) and boxes (N, Q, 4) of the last decoder layer."""
        transformer = self.model.transformer
        memory = transformer.encode(tokens)
        if transformer.two_stage:
            generator = transformer.proposals
            proposals = generator.propose(memory, tokens)
            _, best = _top(rank_rejected(proposals.logits[..., 0]), generator.num_queries)
            references = proposals.boxes.gather(1, best[..., None].expand(-1, -1, 4))
            start = generator.make_queries(references)
        else:
            start = transformer.queries(memory.shape[0])
        output = transformer.decoder(
            start.queries, start.query_positions, start.references, memory, tokens
        )
        return output.logits[-1], output.boxes[-1]

    def _select(
        self, logits: Tensor, boxes: Tensor, sizes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Select as :func:`medmask.modeling.postprocessing.select_detections`, without suppression.

        Args:
            logits: (N, Q, classes).
            boxes: (N, Q, 4) as (cx, cy, w, h) in [0, 1].
            sizes: (N, 2): height and width in pixels that the boxes are scaled to.
        """
        num_classes = logits.shape[-1]
        scores, pairs = _top(logits.sigmoid().flatten(1), self.model.max_detections)
        queries = torch.div(pairs, num_classes, rounding_mode="floor")
        center, size = boxes[..., :2], boxes[..., 2:]
        corners = torch.cat((center - 0.5 * size, center + 0.5 * size), dim=-1)
        corners = corners.gather(1, queries[..., None].expand(-1, -1, 4))
        limits = sizes.flip(-1).repeat(1, 2)[:, None].float()  # (N, 1, 4) as (w, h, w, h)
        corners = torch.minimum((corners * limits).clamp(min=0), limits)
        # 0, or NaN where a prediction is not finite
        broken = (logits * 0).sum((1, 2)) + (boxes * 0).sum((1, 2))
        return corners, scores + broken[:, None], pairs % num_classes


def _is_padding(lengths: Tensor, padded: int) -> Tensor:
    """Lengths (N, 1) of images along an axis of ``padded`` pixels -> (N, padded) bool."""
    return torch.arange(padded, device=lengths.device)[None] >= lengths


def _resize(padding: Tensor, size: int) -> Tensor:
    """(N, K) -> (N, size), to the nearest neighbor as ``F.interpolate`` finds it, in float32."""
    step = padding.shape[1] / size
    places = torch.arange(size, dtype=torch.float32, device=padding.device) * step
    return padding.index_select(1, places.floor().long().clamp(max=padding.shape[1] - 1))


def rank_rejected(logits: Tensor) -> Tensor:
    """Rank the rejected of (N, S) proposals, of which a small image may need some, by their place.

    The model takes the first of equals, as ONNX's TopK should; OpenVINO takes others.
    """
    places = torch.arange(logits.shape[1], device=logits.device)
    return torch.where(logits > REJECTED_LOGIT, logits, logits - places)


def _top(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` highest of (N, K), or all if there are fewer; and their places."""
    available = torch._shape_as_tensor(values)[1]
    most = torch.minimum(available, available.new_tensor(count))
    # PyTorch's annotation knows numbers only; a tensor stays a variable of the graph
    return values.topk(most, dim=1)  # type: ignore[arg-type]
