"""Statistics of channels against NumPy, in float64."""

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from medmask.stages.masked_autoencoding.standardization import (
    SMALLEST_MOMENTUM,
    ChannelStatistics,
)


def make_maps(seed, channels=3, size=(4, 5), padded_columns=0):
    """A batch of two maps with offset and scale of their own, and its padding."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, channels, *size, generator=generator, dtype=torch.float64)
    values = (values * (1 + torch.arange(channels)[:, None, None]) + 7).float()
    padding = torch.zeros(2, *size, dtype=torch.bool)
    padding[1, :, size[1] - padded_columns :] = True
    return {"res5": values}, {"res5": padding}


def inside(maps, padding):
    """Unpadded positions, one by one: (positions, C) float64."""
    values, padded = maps["res5"].double().numpy(), padding["res5"].numpy()
    rows = [values[i, :, y, x] for i in range(2) for y, x in np.argwhere(~padded[i])]
    return np.array(rows)


def expected(maps, mean, square):
    variance = square - mean**2
    values = maps["res5"].double().numpy()
    return (values - mean[:, None, None]) / np.sqrt(variance)[:, None, None]


@pytest.mark.parametrize("padded_columns", [0, 2])
def test_first_batch_is_standardized_by_itself(padded_columns):
    maps, padding = make_maps(0, padded_columns=padded_columns)
    statistics = ChannelStatistics()
    observed = statistics.standardize(maps, padding)["res5"]
    statistics.add(maps, padding)
    trained = statistics.standardize(maps, padding)["res5"]
    values = inside(maps, padding)
    right = expected(maps, values.mean(0), (values**2).mean(0))
    for output in (observed, trained):
        assert output.dtype == torch.float32
        assert_close(output.double().numpy(), right, rtol=1e-5, atol=1e-5)


def test_running_statistics_are_those_of_all_images_and_then_a_moving_average():
    statistics = ChannelStatistics()
    mean = square = 0.0
    for iteration in range(120):
        statistics.begin_iteration()
        batches = [make_maps(2 * iteration + i, padded_columns=i) for i in range(2)]
        for batch in batches:
            statistics.add(*batch)
        statistics.end_iteration()
        values = np.concatenate([inside(*batch) for batch in batches])
        momentum = max(1 / (iteration + 1), SMALLEST_MOMENTUM)
        mean = mean + momentum * (values.mean(0) - mean)
        square = square + momentum * ((values**2).mean(0) - square)
    maps, padding = make_maps(999)
    output = statistics.standardize(maps, padding)["res5"].double().numpy()
    assert_close(output, expected(maps, mean, square), rtol=1e-4, atol=1e-4)


def test_iteration_that_fails_leaves_no_trace():
    statistics, untouched = ChannelStatistics(), ChannelStatistics()
    for each in (statistics, untouched):
        each.add(*make_maps(0))
        each.end_iteration()
    statistics.begin_iteration()
    statistics.add(*make_maps(1))
    statistics.begin_iteration()
    for each in (statistics, untouched):
        each.add(*make_maps(2))
        each.end_iteration()
    assert statistics.state_dict() == untouched.state_dict()


def test_state_is_plain_and_restores():
    statistics, restored = ChannelStatistics(), ChannelStatistics()
    statistics.add(*make_maps(0))
    statistics.end_iteration()
    restored.load_state_dict(json.loads(json.dumps(statistics.state_dict())))
    for each in (statistics, restored):
        each.add(*make_maps(1))
        each.end_iteration()
    assert restored.state_dict() == statistics.state_dict()


def test_dead_channel_is_not_blown_up():
    maps, padding = make_maps(0)
    maps["res5"][:, 1] = 3.0
    maps["res5"][0, 1, 0, 0] += 1e-4
    statistics = ChannelStatistics()
    statistics.add(maps, padding)
    output = statistics.standardize(maps, padding)["res5"]
    assert output.isfinite().all()
    assert output[:, 1].abs().max() < 0.1


def test_map_without_an_unpadded_position_is_finite():
    maps, padding = make_maps(0)
    padding["res5"][:] = True
    statistics = ChannelStatistics()
    statistics.add(maps, padding)
    assert statistics.standardize(maps, padding)["res5"].isfinite().all()
