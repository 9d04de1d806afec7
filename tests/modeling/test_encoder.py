import pytest
import torch
from torch.testing import assert_close

from medmask.modeling.encoder import DeformableEncoder
from medmask.modeling.multi_scale_tokens import flatten_levels

CHANNELS = 8


@pytest.fixture
def encoder():
    encoder = DeformableEncoder(
        num_layers=2,
        gradient_checkpointing=False,
        embed_dim=CHANNELS,
        num_heads=2,
        feed_forward_dim=16,
        dropout=0.0,
        num_levels=2,
        num_points=2,
    )
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return encoder


def test_every_token_looks_around_its_own_centre_on_every_level(encoder):
    """Centres counted in unpadded cells and placed on the padded maps; two images of two sizes."""
    sizes, extents = [(4, 6), (2, 3)], [[(4, 6), (2, 3)], [(2, 3), (1, 2)]]
    masks = [torch.ones(2, h, w, dtype=torch.bool) for h, w in sizes]
    for image in range(2):
        for level, (rows, columns) in enumerate(extents[image]):
            masks[level][image, :rows, :columns] = False
    maps, positions = ([torch.randn(2, CHANNELS, h, w) for h, w in sizes] for _ in range(2))
    features = flatten_levels(maps, positions, masks)
    references = torch.tensor(
        [
            [
                [
                    [
                        (column + 0.5) / columns * extent[1] / size[1],
                        (row + 0.5) / rows * extent[0] / size[0],
                    ]
                    for extent, size in zip(extents[image], sizes, strict=True)
                ]
                for (h, w), (rows, columns) in zip(sizes, extents[image], strict=True)
                for row in range(h)
                for column in range(w)
            ]
            for image in range(2)
        ]
    )
    expected = features.tokens
    for layer in encoder.layers:
        update = layer.self_attention(
            expected + features.positions,
            references,
            expected,
            features.spatial_shapes,
            features.level_start_index,
            features.padding_mask,
        )
        expected = layer.feed_forward(layer.norm(expected + update))
    assert_close(encoder(features), expected, rtol=0, atol=1e-5)
