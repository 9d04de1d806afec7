import pytest
import torch
from torch.testing import assert_close

from medmask.layers import box_position_encoding
from medmask.modeling.multi_scale_tokens import flatten_levels
from medmask.modeling.proposals import ProposalGenerator

CHANNELS = 8
LEVELS = [(60, 2), (3, 4)]  # rows of the first are nearer to the border than 0.01
EXTENTS = [[(60, 2), (3, 4)], [(30, 1), (2, 2)]]  # unpadded cells of each image


@pytest.fixture
def features():
    maps = [torch.randn(2, CHANNELS, h, w) for h, w in LEVELS]
    masks = [torch.ones(2, h, w, dtype=torch.bool) for h, w in LEVELS]
    for image, extents in enumerate(EXTENTS):
        for level, (h, w) in enumerate(extents):
            masks[level][image, :h, :w] = False
    return flatten_levels(maps, maps, masks)


@pytest.fixture
def generator():
    return ProposalGenerator(CHANNELS, num_queries=7)


def test_fresh_generator_proposes_a_box_around_each_token_that_doubles_with_the_level(
    generator, features
):
    proposals = generator.propose(features.tokens, features)
    for image, extents in enumerate(EXTENTS):
        token = 0
        for level, (h, w) in enumerate(LEVELS):
            rows, columns = extents[level]
            for row in range(h):
                for column in range(w):
                    x, y = (column + 0.5) / columns, (row + 0.5) / rows
                    side = 0.05 * 2**level
                    inside = row < rows and column < columns
                    accepted = inside and 0.01 < x < 0.99 and 0.01 < y < 0.99
                    assert proposals.accepted[image, token] == accepted
                    if accepted:
                        box = torch.tensor([x, y, side, side])
                        assert_close(proposals.boxes[image, token], box)
                        assert_close(proposals.anchors[image, token], box)
                    token += 1
    assert (~proposals.accepted & ~features.padding_mask).sum() > 0  # the border rule applies


def test_tokens_that_may_not_propose_rank_last_and_get_no_gradient(generator, features):
    memory = features.tokens.clone().requires_grad_()
    torch.nn.init.normal_(generator.objectness_head.weight, std=100)
    proposals = generator.propose(memory, features)
    accepted = proposals.accepted
    assert proposals.logits[~accepted].max() < proposals.logits[accepted].min()
    assert (proposals.logits[~accepted].sigmoid() == 0).all()
    (proposals.logits.sum() + proposals.boxes.sum()).backward()
    assert (memory.grad[~accepted] == 0).all()
    assert (memory.grad[accepted] != 0).any(-1).all()


def test_best_proposals_become_queries_without_gradient(generator, features):
    torch.nn.init.normal_(generator.box_head.layers[-1].weight)
    proposals = generator.propose(features.tokens, features)
    start = generator.select(proposals)
    assert not start.references.requires_grad
    for image in range(2):
        ranking = sorted(
            range(len(features.tokens[image])), key=lambda s: -proposals.logits[image, s, 0].item()
        )
        best = proposals.boxes[image, ranking[:7]]
        assert torch.equal(start.references[image], best)
        encoded = box_position_encoding(best, CHANNELS // 2)
        both = generator.query_norm(generator.query_projection(encoded))
        assert_close(start.query_positions[image], both[:, :CHANNELS])
        assert_close(start.queries[image], both[:, CHANNELS:])


def test_there_are_as_many_queries_as_tokens_if_these_are_too_few(features):
    generator = ProposalGenerator(CHANNELS, num_queries=1000)
    num_tokens = features.tokens.shape[1]
    start = generator.select(generator.propose(features.tokens, features))
    assert start.queries.shape == start.query_positions.shape == (2, num_tokens, CHANNELS)
