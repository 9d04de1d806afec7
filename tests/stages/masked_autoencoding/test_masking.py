import pytest
import torch

from medmask.modeling.multi_scale_tokens import make_padding_mask, resize_mask
from medmask.stages.masked_autoencoding import masking
from medmask.stages.masked_autoencoding.masking import draw_scores


def mask_independently(padding, ratio):
    return masking.mask_independently(padding, scores_for(padding), ratio)


def mask_aligned(padding, ratio):
    return masking.mask_aligned(padding, scores_for(padding), ratio)


def scores_for(padding):
    return draw_scores([level.shape[1:] for level in padding], [None] * len(padding[0]))


STRATEGIES = pytest.mark.parametrize("mask", [mask_independently, mask_aligned])
RATIOS = pytest.mark.parametrize("ratio", [0.0, 0.1, 0.5, 0.8, 0.95, 1.0])
LEVELS = [(32, 24), (16, 12), (8, 6), (4, 3)]
ODD_LEVELS = [(25, 19), (13, 10), (7, 5), (4, 3)]
IMAGE_SIZES = [(256, 192), (130, 192), (200, 97), (256, 70)]


def padding_masks(levels, image_sizes=IMAGE_SIZES):
    mask = make_padding_mask(image_sizes, (256, 192))
    return [resize_mask(mask, size) for size in levels]


@RATIOS
@pytest.mark.parametrize("levels", [LEVELS, ODD_LEVELS])
def test_share_of_the_unpadded_tokens_is_exact(levels, ratio):
    padding = padding_masks(levels)
    for level_padding, masked in zip(padding, mask_independently(padding, ratio), strict=True):
        assert masked.dtype == torch.bool
        assert not (masked & level_padding).any()
        for image_padding, image_masked in zip(level_padding, masked, strict=True):
            n = int((~image_padding).sum())
            assert n > 1
            assert image_masked.sum() == min(max(round(ratio * n), 1), n - 1)


@RATIOS
def test_aligned_share_is_exact_on_the_level_that_is_drawn(ratio):
    padding = padding_masks(LEVELS)
    coarsest = mask_aligned(padding, ratio)[-1]
    for image_padding, image_masked in zip(padding[-1], coarsest, strict=True):
        n = int((~image_padding).sum())
        assert image_masked.sum() == min(max(round(ratio * n), 1), n - 1)


def test_aligned_cells_are_blocks_where_sizes_are_multiples():
    padding = padding_masks(LEVELS, [(256, 192)] * 5)
    *finer, coarsest = mask_aligned(padding, 0.5)
    for masked in finer:
        factor = masked.shape[1] // coarsest.shape[1]
        blocks = coarsest.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
        assert torch.equal(masked, blocks)


@pytest.mark.parametrize("levels", [LEVELS, ODD_LEVELS])
def test_aligned_cell_is_masked_like_the_coarser_cell_around_its_center(levels):
    """Cell by cell, in fractions of the map; in the padding the last coarser cell before it."""
    padding = padding_masks(levels)
    masks = mask_aligned(padding, 0.6)
    for level in range(len(levels) - 1):
        (h, w), (H, W) = levels[level : level + 2]
        for image in range(len(IMAGE_SIZES)):
            inside = ~padding[level + 1][image]
            rows, columns = int(inside[:, 0].sum()), int(inside[0].sum())
            for i, j in torch.cartesian_prod(torch.arange(h), torch.arange(w)).tolist():
                row = min(int((i + 0.5) / h * H), rows - 1)
                column = min(int((j + 0.5) / w * W), columns - 1)
                expected = masks[level + 1][image, row, column]
                if padding[level][image, i, j]:
                    expected = False
                assert masks[level][image, i, j] == expected


@STRATEGIES
def test_something_is_masked_and_something_visible_on_every_level(mask):
    """Down to levels of two tokens; a level of one token is masked."""
    levels = [(4, 6), (2, 3), (1, 2), (1, 1)]
    for ratio in (0.01, 0.5, 0.99):
        *finer, coarsest = mask(
            [torch.zeros(20, *size, dtype=torch.bool) for size in levels], ratio
        )
        for masked in finer:
            assert masked.flatten(1).any(1).all()
            assert not masked.flatten(1).all(1).any()
        assert coarsest.all()


@STRATEGIES
def test_every_token_is_masked_as_often_as_the_ratio_says(mask):
    padding = [torch.zeros(1000, *size, dtype=torch.bool) for size in [(8, 6), (4, 3)]]
    for masked in mask(padding, 0.75):
        assert (masked.float().mean(0) - 0.75).abs().max() < 0.06


def test_levels_are_drawn_independently():
    fine, coarse = mask_independently(padding_masks([(8, 6), (8, 6)]), 0.5)
    assert not torch.equal(fine, coarse)


@pytest.mark.parametrize("strategy", [masking.mask_independently, masking.mask_aligned])
def test_scores_decide_image_by_image(strategy):
    padding = padding_masks(LEVELS)
    scores = scores_for(padding)
    together = strategy(padding, scores, 0.5)
    for i in range(len(IMAGE_SIZES)):
        alone = strategy([p[i : i + 1] for p in padding], [s[i : i + 1] for s in scores], 0.5)
        assert all(torch.equal(a[i : i + 1], b) for a, b in zip(together, alone, strict=True))


def test_an_images_scores_come_from_its_own_generator():
    def draw(*seeds):
        return draw_scores(LEVELS, [torch.Generator().manual_seed(seed) for seed in seeds])

    together, first, second = draw(1, 2), draw(1), draw(2)
    for size, a, b, c in zip(LEVELS, together, first, second, strict=True):
        assert a.shape == (2, *size)
        assert torch.equal(a, torch.cat((b, c)))
        assert not torch.equal(b, c)
