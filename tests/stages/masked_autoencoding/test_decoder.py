import dataclasses

import pytest
import torch
from torch.testing import assert_close

from medmask.layers import SinePositionEncoding
from medmask.modeling.multi_scale_tokens import flatten_levels
from medmask.stages.masked_autoencoding.decoder import MaskedAutoencoder, ReconstructionTarget

BASE_SIZE = (8, 6)


def encode(model, batch, masked_ratio=0.6):
    images = model.preprocess_image(batch)
    tokens = model.make_tokens(model.neck(model.backbone(images.tensor)), images)
    masked = (torch.rand(tokens.padding_mask.shape) < masked_ratio) & ~tokens.padding_mask
    return tokens, masked


def rebuild(model, tokens, masked):
    memory = model.transformer.encode(tokens, masked | tokens.padding_mask)
    return model.training_modules["masked_autoencoder"](memory, tokens, masked)["res5"]


def replace_tokens(tokens, mask):
    noise = 9 * torch.randn_like(tokens.tokens)
    return dataclasses.replace(tokens, tokens=torch.where(mask[..., None], noise, tokens.tokens))


@torch.no_grad()
def test_what_is_masked_or_padding_cannot_be_seen(model, make_input):
    """Nor does it move anything: not the output of any position, padding included."""
    tokens, masked = encode(model, [make_input(100, 90), make_input(70, 128)])
    assert tokens.padding_mask.any()
    expected = rebuild(model, tokens, masked)
    for unseen in (masked, tokens.padding_mask):
        assert torch.equal(rebuild(model, replace_tokens(tokens, unseen), masked), expected)
    visible = ~masked & ~tokens.padding_mask
    assert not torch.equal(rebuild(model, replace_tokens(tokens, visible), masked), expected)


@torch.no_grad()
def test_reference_points_do_not_depend_on_the_mask(model, make_input):
    """Everything may be masked: a ratio of visible tokens would be zero."""
    tokens, _ = encode(model, [make_input(100, 90), make_input(70, 128)])
    assert rebuild(model, tokens, ~tokens.padding_mask).isfinite().all()


@torch.no_grad()
def test_masked_position_is_queried_by_the_mask_query_and_visible_one_by_its_own(model, make_input):
    """Without layers the output is what the queries' contents are projected to."""
    autoencoder = model.training_modules["masked_autoencoder"]
    autoencoder.layers = torch.nn.ModuleList()
    tokens, masked = encode(model, [make_input(256, 192), make_input(200, 192)])
    output = rebuild(model, tokens, masked)
    unknown = tokens.split_levels(masked | tokens.padding_mask)[2]
    project = autoencoder.output_projections["res5"]
    for image, row, column in torch.cartesian_prod(*map(torch.arange, unknown.shape)).tolist():
        if unknown[image, row, column]:
            content = autoencoder.mask_query[0]
        else:
            content = autoencoder.queries["res5"][row * BASE_SIZE[1] + column, 64:]
        assert_close(output[image, :, row, column], project(content), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 6), (16, 12), (5, 7), (1, 1), (8, 7)])
def test_learned_queries_are_interpolated_between_their_positions(make_autoencoder, size):
    """A ramp stays a ramp between the centers of the outermost positions."""
    autoencoder = make_autoencoder()
    (h, w), (rows, columns) = size, BASE_SIZE
    y = ((torch.arange(rows) + 0.5) / rows)[:, None].expand(BASE_SIZE)
    x = ((torch.arange(columns) + 0.5) / columns).expand(BASE_SIZE)
    autoencoder.queries["res5"][:, 0] = y.flatten()
    autoencoder.queries["res5"][:, 1] = x.flatten()
    queries = autoencoder._queries_of_size("res5", size)
    for channel, n, base in ((0, h, rows), (1, w, columns)):
        centers = ((torch.arange(n) + 0.5) / n).clamp(0.5 / base, 1 - 0.5 / base)
        expected = centers[:, None].expand(size) if channel == 0 else centers.expand(size)
        assert_close(queries[:, channel], expected.flatten())


@pytest.mark.parametrize(("size", "embed_dim"), [((8, 6), 64), ((25, 42), 256)])
def test_fresh_queries_look_where_they_stand(size, embed_dim):
    autoencoder = MaskedAutoencoder(
        targets={"res5": ReconstructionTarget(2, 8, size)},
        embed_dim=embed_dim,
        num_heads=4,
        num_levels=3,
        num_points=4,
        feed_forward_dim=8,
    )
    with torch.no_grad():
        positions = autoencoder.queries["res5"][:, :embed_dim]
        points = autoencoder.reference_points(positions).sigmoid().view(*size, 2)
    h, w = size
    for row in range(h):
        for column in range(w):
            x, y = points[row, column].tolist()
            assert abs(x * w - 0.5 - column) < 1
            assert abs(y * h - 0.5 - row) < 1


@torch.no_grad()
@pytest.mark.parametrize("positional_content", [False, True])
def test_position_reaches_the_output_through_the_content_alone(positional_content):
    """Visible tokens that are all alike say nothing of a masked position by their places."""
    torch.manual_seed(0)
    autoencoder = MaskedAutoencoder(
        targets={"res5": ReconstructionTarget(2, 8, (4, 3))},
        embed_dim=64,
        num_heads=4,
        num_levels=3,
        num_points=4,
        feed_forward_dim=32,
        positional_content=positional_content,
    )
    sizes = [(16, 12), (8, 6), (4, 3)]
    maps = [torch.zeros(1, 64, *size) for size in sizes]
    tokens = flatten_levels(maps, maps, [torch.zeros(1, *size, dtype=torch.bool) for size in sizes])
    masked = tokens.padding_mask.clone()
    masked[:, -12:] = True
    memory = torch.ones_like(tokens.tokens)
    for layer in autoencoder.layers:  # sampling at the point itself, which is never outside
        torch.nn.init.zeros_(layer.cross_attention.sampling_offsets.weight)
        torch.nn.init.zeros_(layer.cross_attention.sampling_offsets.bias)
        torch.nn.init.zeros_(layer.cross_attention.attention_weights.weight)
    output = autoencoder(memory, tokens, masked)["res5"].flatten(2)[0]
    spread = output.var(dim=1).max()
    assert (spread > 1e-3) == positional_content


@torch.no_grad()
def test_padding_of_an_image_does_not_matter_to_its_reconstruction():
    """Beside a wider image all levels get columns of padding, and none of its queries moves."""
    torch.manual_seed(0)
    autoencoder = MaskedAutoencoder(
        targets={"res5": ReconstructionTarget(2, 8, (4, 6))},
        embed_dim=64,
        num_heads=4,
        num_levels=3,
        num_points=4,
        feed_forward_dim=32,
        positional_content=True,
    )
    for layer in autoencoder.layers:  # samples that differ in weight, so that places matter
        torch.nn.init.normal_(layer.cross_attention.attention_weights.weight)
    encode_positions = SinePositionEncoding(64)
    maps = [torch.randn(1, 64, *size) for size in ((16, 12), (8, 6), (4, 3))]
    masks = [torch.rand(1, *m.shape[-2:]) < 0.6 for m in maps]

    def rebuild_beside(columns):
        """The map of the image where padding makes each level so many times as wide."""
        padded, paddings, masked = [], [], []
        for content, mask in zip(maps, masks, strict=True):
            width = content.shape[-1]
            padded.append(torch.randn(1, 64, content.shape[-2], columns * width))
            padded[-1][..., :width] = content
            paddings.append(torch.arange(columns * width).expand(padded[-1][:, 0].shape) >= width)
            masked.append(torch.zeros_like(paddings[-1]))
            masked[-1][..., :width] = mask
        tokens = flatten_levels(padded, [encode_positions(p) for p in paddings], paddings)
        masked_tokens = torch.cat([mask.flatten(1) for mask in masked], dim=1)
        return autoencoder(tokens.tokens, tokens, masked_tokens)["res5"][..., :3]

    alone = rebuild_beside(1)
    assert_close(rebuild_beside(2), alone, rtol=0, atol=1e-4)
    assert_close(rebuild_beside(3), alone, rtol=0, atol=1e-4)
    assert alone.std() > 0.1


def test_decoder_may_begin_with_zero(make_autoencoder):
    autoencoder = make_autoencoder(["res3", "res5"])
    autoencoder.begin_with_the_mean()
    for projection in autoencoder.output_projections.values():
        assert not projection(torch.randn(5, 64)).any()
