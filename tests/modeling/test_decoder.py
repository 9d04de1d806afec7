import math

import pytest
import torch
from torch.testing import assert_close

from medmask.modeling.decoder import DeformableDecoder, apply_box_deltas
from medmask.modeling.multi_scale_tokens import flatten_levels

LAYERS, CHANNELS = 3, 8


@pytest.mark.parametrize("reference_dim", [2, 4], ids=["points", "boxes"])
def test_deltas_are_added_to_the_logits_of_what_the_reference_knows(reference_dim):
    references, deltas = torch.rand(2, 5, reference_dim), torch.randn(2, 5, 4)
    boxes = apply_box_deltas(references, deltas)
    for index in torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(4)):
        i, q, c = index.tolist()
        logit = 0.0
        if c < reference_dim:
            p = references[i, q, c].item()
            logit = math.log(p / (1 - p))
        expected = 1 / (1 + math.exp(-logit - deltas[i, q, c].item()))
        assert_close(boxes[i, q, c].item(), expected, rtol=0, atol=1e-5)


def attend(attention, query, key, value):
    """Multi-head attention from its definition: (N, Q, C) -> (N, Q, C)."""
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    q, k, v = (
        (x @ w.T + b).unflatten(-1, (attention.num_heads, -1))
        for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    scores = torch.einsum("nqhd,nkhd->nhqk", q, k) / math.sqrt(q.shape[-1])
    return attention.out_proj(torch.einsum("nhqk,nkhd->nqhd", scores.softmax(-1), v).flatten(2))


def test_layer_adds_positions_to_what_is_compared_and_not_to_what_is_read():
    layer = make_decoder(box_refinement=False, reference_is_box=False).layers[0]
    queries, positions = torch.randn(2, 2, 5, CHANNELS)
    memory, reference = torch.randn(2, 6, CHANNELS), torch.rand(2, 5, 2, 2)
    levels = torch.tensor([[2, 2], [1, 2]]), torch.tensor([0, 4])
    mask = torch.rand(2, 6) < 0.3
    x = queries + positions
    expected = layer.self_norm(queries + attend(layer.self_attention, x, x, queries))
    update = layer.cross_attention(expected + positions, reference, memory, *levels, mask)
    expected = layer.feed_forward(layer.cross_norm(expected + update))
    actual = layer(queries, positions, reference, memory, *levels, mask)
    assert_close(actual, expected, rtol=0, atol=1e-5)


def make_decoder(**options):
    decoder = DeformableDecoder(
        num_layers=LAYERS,
        gradient_checkpointing=False,
        num_classes=2,
        embed_dim=CHANNELS,
        num_heads=2,
        feed_forward_dim=16,
        dropout=0.0,
        num_levels=2,
        num_points=2,
        **options,
    )
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return decoder


def run(decoder, reference_dim):
    """Decode; also return what each layer was given and what it gave."""
    masks = [torch.zeros(2, 4, 6, dtype=torch.bool), torch.zeros(2, 2, 3, dtype=torch.bool)]
    masks[0][1, :, 3:] = True
    masks[1][1, :, 2:] = True
    maps = [torch.randn(2, CHANNELS, *m.shape[1:]) for m in masks]
    features = flatten_levels(maps, maps, masks)
    references = torch.rand(2, 5, reference_dim)
    calls = []
    for layer in decoder.layers:
        layer.register_forward_hook(lambda _, inputs, output: calls.append((inputs, output)))
    queries, positions = torch.randn(2, 2, 5, CHANNELS)
    output = decoder(queries, positions, references, features.tokens, features)
    return output, references, features, calls


@pytest.mark.parametrize("reference_dim", [2, 4], ids=["points", "boxes"])
@pytest.mark.parametrize("box_refinement", [False, True])
def test_layers_start_from_the_boxes_that_they_should(box_refinement, reference_dim):
    decoder = make_decoder(box_refinement=box_refinement, reference_is_box=reference_dim == 4)
    output, references, features, calls = run(decoder, reference_dim)
    num_heads = LAYERS if box_refinement else 1
    assert len(decoder.class_heads) == len(decoder.box_heads) == num_heads
    for i, (inputs, queries) in enumerate(calls):
        on_levels = inputs[2]
        for level in range(2):
            ratios = features.valid_ratios[:, level].tile(references.shape[-1] // 2)
            assert_close(on_levels[:, :, level], references * ratios[:, None])
        head = i if box_refinement else 0
        boxes = apply_box_deltas(references, decoder.box_heads[head](queries))
        assert_close(output.boxes[i], boxes)
        assert_close(output.logits[i], decoder.class_heads[head](queries))
        if box_refinement:
            references = boxes
            assert i == 0 or not on_levels.requires_grad  # each layer answers for itself only
    assert torch.equal(output.queries, calls[-1][1])


@pytest.mark.parametrize("reference_is_box", [False, True])
def test_fresh_heads_start_with_rare_objects_of_moderate_size(reference_is_box):
    decoder = DeformableDecoder(
        num_layers=2,
        gradient_checkpointing=False,
        num_classes=1,
        box_refinement=True,
        reference_is_box=reference_is_box,
        embed_dim=8,
        num_heads=2,
        feed_forward_dim=8,
        dropout=0.0,
        num_levels=2,
        num_points=1,
    )
    output, references, _, _ = run(decoder, 4 if reference_is_box else 2)
    if reference_is_box:
        expected = references
    else:
        expected = torch.cat((references, torch.full_like(references, 1 / (1 + math.e**2))), -1)
    assert_close(output.boxes, expected.expand_as(output.boxes), rtol=0, atol=1e-5)
    assert output.logits.sigmoid().mean() < 0.05
