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


def test_every_token_looks_around_its_own_center_on_every_level(encoder):
    """Centers counted in unpadded cells and placed on the padded maps; two images of two sizes."""
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
    expected = encode_all(encoder, features, references, features.padding_mask)
    assert_close(encoder(features), expected, rtol=0, atol=1e-5)


def encode_all(encoder, features, references, value_mask):
    """Every token, whether it gives a value or not."""
    tokens = features.tokens
    for layer in encoder.layers:
        update = layer.self_attention(
            tokens + features.positions,
            references,
            tokens,
            features.spatial_shapes,
            features.level_start_index,
            value_mask,
        )
        tokens = layer.feed_forward(layer.norm(tokens + update))
    return tokens


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_tokens_without_value_can_be_left_out(encoder, share):
    """The others come out as if all were encoded; so do the gradients of a loss on them."""
    sizes = [(4, 6), (2, 3)]
    masks = [torch.zeros(2, h, w, dtype=torch.bool) for h, w in sizes]
    masks[0][1, :, 4:] = masks[1][1, :, 2:] = True
    maps, positions = ([torch.randn(2, CHANNELS, h, w) for h, w in sizes] for _ in range(2))
    features = flatten_levels([m.requires_grad_() for m in maps], positions, masks)
    # images differ in how many tokens are left
    hidden = torch.rand(features.padding_mask.shape) < torch.tensor([[share], [share / 2]])
    value_mask = hidden | features.padding_mask
    references = features.centers[:, :, None] * features.valid_ratios[:, None]
    weights = torch.randn(features.tokens.shape) * ~value_mask[..., None]

    def run(memory):
        encoder.zero_grad()
        for m in maps:
            m.grad = None
        (memory * weights).sum().backward(retain_graph=True)
        gradients = [x.grad.clone() for x in (*maps, *encoder.parameters())]
        return memory * ~value_mask[..., None], gradients

    expected = run(encode_all(encoder, features, references, value_mask))
    assert_close(run(encoder(features, value_mask)), expected, rtol=1e-4, atol=1e-5)
