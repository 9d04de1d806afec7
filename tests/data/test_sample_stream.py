import itertools
import random
from collections import Counter

import numpy as np
import pytest
import torch

from medmask.data.loaders import TrainLoader
from medmask.data.sample_mix import SampleMix
from medmask.data.sample_stream import GlobalBatchSampler, SampleStream, seeded
from medmask.utils.random_state import get_random_state

DATASET_DICTS = [{"image_id": number} for number in range(7)]


def draw(dataset_dict):
    """A mapper that uses all three generators."""
    return {
        **dataset_dict,
        "draws": (random.random(), np.random.rand(), torch.rand(1).item()),
    }


def _stream(seed=5):
    return SampleStream(DATASET_DICTS, draw, seed)


def _take(loader, start, number):
    return list(itertools.islice(loader.iterate_from(start), number))


def test_every_epoch_is_another_shuffle():
    stream = _stream()
    ids = [stream[index]["image_id"] for index in range(70)]
    epochs = [tuple(ids[start : start + 7]) for start in range(0, 70, 7)]
    assert {tuple(sorted(epoch)) for epoch in epochs} == {tuple(range(7))}
    assert len(set(epochs)) > 7
    assert ids != [_stream(seed=6)[index]["image_id"] for index in range(70)]


class Pair(SampleMix):
    """Tells which other image was drawn."""

    def __init__(self, candidates):
        super().__init__(probability=1.0)
        self._candidates = candidates

    def candidates(self, dataset_dicts):
        return self._candidates

    def __call__(self, sample, other):
        return sample | {"other": other["image_id"]}


def test_another_image_is_drawn_evenly_where_there_is_one():
    stream = SampleStream(DATASET_DICTS, draw, 5, mix=Pair([1, 3, 4]))
    drawn = {number: Counter() for number in range(7)}
    for sample in (stream[index] for index in range(700)):
        drawn[sample["image_id"]][sample["other"]] += 1
    for number, counts in drawn.items():
        assert set(counts) == {1, 3, 4} - {number}
        assert min(counts.values()) > 0.6 * 100 / len(counts)
    alone = SampleStream(DATASET_DICTS, draw, 5, mix=Pair([3]))
    assert {alone[index]["other"] for index in range(14)} == {3}


def test_samples_depend_on_seed_and_index_alone():
    stream, again = _stream(), _stream()
    forwards = [stream[index] for index in range(30)]
    backwards = [again[index] for index in reversed(range(30))]
    assert forwards == backwards[::-1]
    draws = [draw for sample in forwards for draw in sample["draws"]]
    draws += [draw for index in range(30) for draw in _stream(seed=6)[index]["draws"]]
    assert len(set(draws)) == len(draws)  # no two generators, indices or seeds go together
    for generator in np.array(draws).reshape(60, 3).T:
        assert 0.3 < generator.mean() < 0.7


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_workers_make_no_difference(num_workers):
    stream = _stream()
    loader = TrainLoader(_stream(), total_batch_size=4, num_workers=num_workers)
    expected = [[stream[4 * i + k] for k in range(4)] for i in range(6)]
    assert _take(loader, 0, 6) == expected
    assert _take(loader, 3, 3) == expected[3:]  # a run that resumes


def test_processes_share_the_global_batch():
    whole = list(itertools.islice(GlobalBatchSampler(3, 6, 0, 1), 4))
    assert whole == [list(range(first, first + 6)) for first in (18, 24, 30, 36)]
    for world_size in (2, 3, 6):
        parts = [GlobalBatchSampler(3, 6, rank, world_size) for rank in range(world_size)]
        batches = itertools.islice(zip(*parts, strict=True), 4)
        assert [list(itertools.chain(*batch)) for batch in batches] == whole


def _equal(state, other):
    if isinstance(state, dict):
        return all(_equal(state[key], other[key]) for key in state)
    if isinstance(state, list):
        return all(map(_equal, state, other))
    return torch.equal(state, other) if isinstance(state, torch.Tensor) else state == other


def _draw_and_fail():
    with seeded(0, 1):
        draw({})
        raise KeyError


def test_global_generators_are_put_back():
    np.random.normal()  # leaves a second normal value in the generator
    before = get_random_state()
    assert not _equal(before, (draw({}), get_random_state())[1])
    before = get_random_state()
    _stream()[12]
    assert _equal(before, get_random_state())
    with pytest.raises(KeyError):
        _draw_and_fail()
    assert _equal(before, get_random_state())


def test_samples_carry_a_seed_of_their_index():
    seeds = [_stream()[index]["random_seed"] for index in range(50)]
    assert seeds == [_stream()[index]["random_seed"] for index in range(50)]
    seeds += [_stream(seed=6)[index]["random_seed"] for index in range(50)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
