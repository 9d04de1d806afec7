"""Chunks of rows: each row once, ever smaller ones, and those that come back alone."""

import itertools

import pytest

from medmask.inference.row_chunks import RowChunks


def rows(count):
    return [(position, f"image {position}") for position in range(count)]


@pytest.mark.parametrize(
    ("count", "takers", "batch_size"), [(0, 1, 1), (1, 8, 1), (30, 2, 1), (1000, 3, 16)]
)
def test_each_row_once_in_order_and_chunks_that_shrink(count, takers, batch_size):
    chunks = RowChunks(iter(rows(count)), count, takers, batch_size)
    taken = []
    while chunks:
        taken.append(chunks.take())
    assert list(itertools.chain(*taken)) == rows(count)
    sizes = [len(chunk) for chunk in taken]
    assert sizes == sorted(sizes, reverse=True)
    assert all(size <= max(64, 8 * batch_size) for size in sizes)
    if count:
        assert sizes[-1] == 1
        assert sizes[0] <= max(1, count // (2 * takers))
    assert chunks.take() == []


def test_rows_that_come_back_are_alone_and_first():
    chunks = RowChunks(iter(rows(100)), 100, 1, 1)
    chunk = chunks.take()
    chunks.give_back(chunk[3:5])
    assert [chunks.take(), chunks.take()] == [[chunk[3]], [chunk[4]]]
    assert chunks.take()[0] == (len(chunk), f"image {len(chunk)}")


def test_rows_come_back_after_the_end():
    chunks = RowChunks(iter(rows(1)), 1, 2, 1)
    chunk = chunks.take()
    assert not chunks
    chunks.give_back(chunk)
    assert chunks
    assert chunks.take() == chunk


def test_fewer_rows_than_were_announced():
    chunks = RowChunks(iter(rows(2)), 5, 1, 1)
    assert [len(chunks.take()) for _ in range(3)] == [2, 0, 0]
    assert not chunks
