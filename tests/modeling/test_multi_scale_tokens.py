import pytest
import torch
from torch.testing import assert_close

from medmask.modeling.multi_scale_tokens import flatten_levels, make_padding_mask, resize_mask

IMAGE_SIZES = [(33, 47), (64, 20), (1, 48)]
PADDED = (64, 48)
LEVELS = [(8, 6), (4, 3), (1, 2)]


@pytest.fixture
def masks():
    mask = make_padding_mask(IMAGE_SIZES, PADDED)
    return [resize_mask(mask, size) for size in LEVELS]


def test_padding_mask_is_true_outside_each_image():
    mask = make_padding_mask(IMAGE_SIZES, PADDED)
    assert mask.shape == (3, *PADDED)
    for image, (height, width) in enumerate(IMAGE_SIZES):
        assert not mask[image, :height, :width].any()
        assert mask[image].sum() == PADDED[0] * PADDED[1] - height * width


def test_cell_is_padding_where_its_first_pixel_is(masks):
    mask = make_padding_mask(IMAGE_SIZES, PADDED)
    for level_mask, (h, w) in zip(masks, LEVELS, strict=True):
        assert torch.equal(level_mask, mask[:, :: PADDED[0] // h, :: PADDED[1] // w])


def test_tokens_are_rows_of_the_finest_level_first(masks):
    maps, positions = ([torch.randn(3, 4, h, w) for h, w in LEVELS] for _ in range(2))
    features = flatten_levels(maps, positions, masks)
    assert features.num_levels == 3
    assert features.spatial_shapes.tolist() == [list(size) for size in LEVELS]
    token = 0
    for level, (h, w) in enumerate(LEVELS):
        assert features.level_start_index[level] == token
        for row in range(h):
            for column in range(w):
                assert torch.equal(features.tokens[:, token], maps[level][..., row, column])
                assert torch.equal(features.positions[:, token], positions[level][..., row, column])
                assert torch.equal(features.padding_mask[:, token], masks[level][:, row, column])
                token += 1
    assert features.tokens.shape == features.positions.shape == (3, token, 4)


def test_tokens_are_split_into_the_maps_that_they_came_from(masks):
    maps = [torch.randn(3, 4, h, w) for h, w in LEVELS]
    features = flatten_levels(maps, maps, masks)
    assert list(features.sizes) == LEVELS
    for level, split in zip(maps, features.split_levels(features.tokens), strict=True):
        assert torch.equal(split, level.permute(0, 2, 3, 1))
    for mask, split in zip(masks, features.split_levels(features.padding_mask), strict=True):
        assert torch.equal(split, mask)


def test_centers_and_valid_ratios_count_the_cells_that_are_no_padding(masks):
    maps = [torch.zeros(3, 1, h, w) for h, w in LEVELS]
    features = flatten_levels(maps, maps, masks)
    for image in range(3):
        token = 0
        for level, (h, w) in enumerate(LEVELS):
            inside = ~masks[level][image]
            rows, columns = int(inside.any(1).sum()), int(inside.any(0).sum())
            assert_close(features.valid_ratios[image, level], torch.tensor([columns / w, rows / h]))
            for row in range(h):
                for column in range(w):
                    center = torch.tensor([(column + 0.5) / columns, (row + 0.5) / rows])
                    assert_close(features.centers[image, token], center)
                    assert (center > 1).any() == features.padding_mask[image, token]
                    token += 1
