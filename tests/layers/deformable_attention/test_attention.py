import math

import pytest
import torch
from torch.testing import assert_close

from medmask.errors import InputError
from medmask.layers import MultiScaleDeformableAttention

SIZES = [(3, 4), (2, 1)]
HEADS, POINTS, CHANNELS = 2, 3, 8


@pytest.fixture
def attention():
    """A layer with weights as after some training: nothing is zero."""
    layer = MultiScaleDeformableAttention(CHANNELS, HEADS, len(SIZES), POINTS).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer


@pytest.fixture
def levels():
    shapes = torch.tensor(SIZES)
    areas = shapes.prod(1)
    return shapes, areas.cumsum(0) - areas


def make_inputs(num_images=2, num_queries=3, reference_dim=2):
    tokens = sum(h * w for h, w in SIZES)
    query = torch.randn(num_images, num_queries, CHANNELS, dtype=torch.float64)
    memory = torch.randn(num_images, tokens, CHANNELS, dtype=torch.float64)
    reference = torch.rand(num_images, num_queries, len(SIZES), reference_dim)
    return query, reference, memory


def bilinear(level_map, x, y):
    """Value at (x, y) in [0, 1] of a map (h, w, D): centers at (i + 0.5) / size, zeros outside."""
    height, width, _ = level_map.shape
    column, row = x * width - 0.5, y * height - 0.5
    result = torch.zeros(level_map.shape[-1], dtype=torch.float64)
    for i in (math.floor(row), math.floor(row) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < height and 0 <= j < width:
                result += (1 - abs(row - i)) * (1 - abs(column - j)) * level_map[i, j]
    return result


def attend_slowly(layer, query, reference, memory, mask):
    """Equation 3 of Deformable DETR, one query, head, level and point at a time."""
    dim = CHANNELS // HEADS
    output = torch.zeros_like(query)
    for n, q in ((n, q) for n in range(query.shape[0]) for q in range(query.shape[1])):
        offsets = layer.sampling_offsets(query[n, q]).view(HEADS, len(SIZES), POINTS, 2)
        weights = layer.attention_weights(query[n, q]).view(HEADS, -1).softmax(-1)
        heads = []
        for m in range(HEADS):
            total, start = 0, 0
            for level, (h, w) in enumerate(SIZES):
                value = layer.value_proj(memory[n, start : start + h * w]).clone()
                value[mask[n, start : start + h * w]] = 0
                level_map = value.view(h, w, CHANNELS)[..., m * dim : (m + 1) * dim]
                start += h * w
                for p in range(POINTS):
                    x, y, *size = reference[n, q, level].double().tolist()
                    dx, dy = offsets[m, level, p].tolist()
                    if size:  # fractions of half the box, divided among the points
                        dx, dy = dx / POINTS * size[0] / 2, dy / POINTS * size[1] / 2
                    else:  # cells of the map
                        dx, dy = dx / w, dy / h
                    weight = weights[m, level * POINTS + p]
                    total = total + weight * bilinear(level_map, x + dx, y + dy)
            heads.append(total)
        output[n, q] = layer.output_proj(torch.cat(heads))
    return output


@pytest.mark.parametrize("reference_dim", [2, 4], ids=["points", "boxes"])
def test_layer_is_equation_3(attention, levels, reference_dim):
    query, reference, memory = make_inputs(reference_dim=reference_dim)
    mask = torch.rand(memory.shape[:2]) < 0.3
    expected = attend_slowly(attention, query, reference, memory, mask)
    actual = attention(query, reference, memory, *levels, mask)
    assert_close(actual, expected, rtol=0, atol=1e-5)


def test_tokens_without_a_value_have_no_influence_and_no_gradient(attention, levels):
    query, reference, memory = make_inputs()
    mask = torch.rand(memory.shape[:2]) < 0.5
    expected = attention(query, reference, memory, *levels, mask)
    memory[mask] = torch.nan
    memory.requires_grad_()
    actual = attention(query, reference, memory, *levels, mask)
    assert torch.equal(actual, expected)
    actual.sum().backward()
    assert (memory.grad[mask] == 0).all()
    assert (memory.grad[~mask] != 0).any()


def test_fresh_layer_looks_in_evenly_spread_directions_one_cell_further_with_every_point():
    layer = MultiScaleDeformableAttention(embed_dim=8, num_heads=4, num_levels=2, num_points=3)
    offsets = layer.sampling_offsets(torch.randn(8)).view(4, 2, 3, 2)
    for head, (x, y) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)]):
        for point in range(3):
            expected = (point + 1) * torch.tensor([[x, y]] * 2, dtype=torch.float32)
            assert_close(offsets[head, :, point], expected, rtol=0, atol=1e-6)
    assert (layer.attention_weights(torch.randn(8)) == 0).all()  # equal after the softmax


def test_locations_keep_full_precision_under_autocast():
    """Neighboring cells of a row of 1000 differ by less than bfloat16 can tell."""
    width = 1000
    layer = MultiScaleDeformableAttention(embed_dim=1, num_heads=1, num_levels=1, num_points=1)
    torch.nn.init.zeros_(layer.sampling_offsets.bias)
    for projection in (layer.value_proj, layer.output_proj):
        torch.nn.init.ones_(projection.weight)
    columns = torch.arange(width)
    stripes = (columns % 2).float()[None, :, None]
    reference = torch.stack((columns + 0.5, torch.full((width,), 500)), -1) / width
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(
            torch.zeros(1, width, 1),
            reference[None, :, None],
            stripes,
            torch.tensor([[1, width]]),
            torch.tensor([0]),
        )
    assert_close(output.float(), stripes, rtol=0, atol=0.01)


def test_channels_that_cannot_be_shared_among_heads_are_refused():
    with pytest.raises(InputError, match="embed_dim must be divisible by num_heads, got 10 and 4"):
        MultiScaleDeformableAttention(10, 4, 1, 1)
