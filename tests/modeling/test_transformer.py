import pytest
import torch
from torch.testing import assert_close

from medmask.layers import SinePositionEncoding
from medmask.modeling import DeformableTransformer
from medmask.modeling.transformer import LearnedQueries

CHANNELS = 16
EXTENTS = [(6, 7), (3, 4), (2, 2)]  # cells of each level that an image covers
VARIANTS = [(False, False), (True, False), (False, True), (True, True)]


@pytest.fixture(params=VARIANTS, ids=lambda v: f"box_refinement={v[0]}-two_stage={v[1]}")
def make_transformer(request):
    def make(**options):
        torch.manual_seed(1)
        box_refinement, two_stage = request.param
        defaults = {
            "num_classes": 2,
            "num_queries": 9,
            "num_levels": 3,
            "embed_dim": CHANNELS,
            "num_heads": 4,
            "feed_forward_dim": 32,
            "num_encoder_layers": 2,
            "num_decoder_layers": 2,
            "dropout": 0.1,
            "box_refinement": box_refinement,
            "two_stage": two_stage,
        }
        transformer = DeformableTransformer(**(defaults | options))
        # As after training: nothing is zero, so nothing is hidden.
        for parameter in transformer.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        return transformer.eval()

    return make


def transform(transformer, maps, positions, padding_masks):
    return transformer(transformer.flatten(maps, positions, padding_masks))


def test_learned_queries_are_positions_and_contents_that_look_where_their_position_says():
    queries = LearnedQueries(embed_dim=4, num_queries=3)
    start = queries(batch_size=2)
    for image in range(2):
        positions, contents = queries.embedding.weight[:, :4], queries.embedding.weight[:, 4:]
        assert torch.equal(start.query_positions[image], positions)
        assert torch.equal(start.queries[image], contents)
        assert_close(start.references[image], queries.reference_points(positions).sigmoid())


def make_inputs(padded, extents=EXTENTS, num_images=2):
    """Maps whose content depends on the extents only, in the corner of padded noise."""
    maps, masks = [], []
    noise = torch.Generator().manual_seed(sum(h * w for h, w in padded))
    content = torch.Generator().manual_seed(2)
    for (h, w), (height, width) in zip(padded, extents, strict=True):
        level = 100 * torch.randn(num_images, CHANNELS, h, w, generator=noise)
        shape = (num_images, CHANNELS, height, width)
        level[..., :height, :width] = torch.randn(shape, generator=content)
        mask = torch.ones(num_images, h, w, dtype=torch.bool)
        mask[:, :height, :width] = False
        maps.append(level)
        masks.append(mask)
    positions = [SinePositionEncoding(CHANNELS)(mask) for mask in masks]
    return maps, positions, masks


def predictions(output, images=slice(None)):
    decoder = output.decoder
    return decoder.logits[:, images], decoder.boxes[:, images], decoder.queries[images]


def test_padding_of_the_maps_does_not_matter(make_transformer):
    transformer = make_transformer()
    expected = transform(transformer, *make_inputs(EXTENTS))
    padded = transform(transformer, *make_inputs([(9, 8), (5, 4), (3, 6)]))
    for a, b in zip(predictions(padded), predictions(expected), strict=True):
        assert_close(a, b, rtol=0, atol=1e-4)


@pytest.mark.parametrize("num_queries", [9, 200], ids=["", "more_queries_than_tokens"])
def test_what_stands_in_the_padding_does_not_matter(make_transformer, num_queries):
    transformer = make_transformer(num_queries=num_queries)
    maps, positions, masks = make_inputs([(9, 8), (5, 4), (3, 6)])
    expected = transform(transformer, maps, positions, masks)
    garbage = [m.masked_fill(mask[:, None], torch.nan) for m, mask in zip(maps, masks, strict=True)]
    actual = transform(transformer, garbage, positions, masks)
    for a, b in zip(predictions(actual), predictions(expected), strict=True):
        assert torch.equal(a, b)


def test_predictions_of_an_image_do_not_depend_on_its_batch_mates(make_transformer):
    transformer = make_transformer()
    inputs = make_inputs(EXTENTS, num_images=3)
    together = transform(transformer, *inputs)
    for image in range(3):
        alone = transform(
            transformer, *([x[image : image + 1] for x in levels] for levels in inputs)
        )
        for a, b in zip(predictions(together, [image]), predictions(alone), strict=True):
            assert_close(a, b, rtol=0, atol=1e-5)


def test_gradient_checkpointing_changes_no_loss_and_no_gradient(make_transformer):
    def run(gradient_checkpointing):
        transformer = make_transformer(gradient_checkpointing=gradient_checkpointing).train()
        maps, positions, masks = make_inputs(EXTENTS)
        maps = [m.requires_grad_() for m in maps]
        torch.manual_seed(3)  # of dropout
        output = transform(transformer, maps, positions, masks)
        loss = output.decoder.logits.square().sum() + output.decoder.boxes.square().sum()
        loss.backward()
        parameters = [p for p in transformer.parameters() if p.grad is not None]
        return loss, [p.grad for p in parameters], [m.grad for m in maps]

    for a, b in zip(run(False), run(True), strict=True):
        assert_close(a, b, rtol=0, atol=0)


def test_gradient_checkpointing_keeps_less_for_the_backward_pass(make_transformer):
    def saved_bytes(gradient_checkpointing):
        transformer = make_transformer(gradient_checkpointing=gradient_checkpointing).train()
        total = 0

        def pack(x):
            nonlocal total
            total += x.numel() * x.element_size()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            transform(transformer, *make_inputs(EXTENTS))
        return total

    assert saved_bytes(True) < saved_bytes(False) / 2


def test_value_mask_hides_tokens_without_moving_reference_points(make_transformer):
    """What a masked autoencoder relies on."""
    transformer = make_transformer()
    maps, positions, masks = make_inputs(EXTENTS)
    features = transformer.flatten(maps, positions, masks)
    hidden = torch.rand(features.padding_mask.shape) < 0.5
    expected = transformer.encode(features, hidden)
    assert expected.isfinite().all()
    visible = ~hidden
    changed = [m.clone() for m in maps]
    changed[0].view(2, CHANNELS, -1)[:, :, :] += 5 * hidden[:, None, : 6 * 7]
    memory = transformer.encode(transformer.flatten(changed, positions, masks), hidden)
    assert torch.equal(memory[visible], expected[visible])
    inside = ~features.padding_mask
    without_padding = transformer.encode(features, features.padding_mask)
    assert_close(transformer.encode(features)[inside], without_padding[inside])
