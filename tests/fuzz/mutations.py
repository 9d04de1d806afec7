"""Seeded damage to files and to JSON: the same seed always gives the same damage."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "nan",
    "1",
    "../../etc/passwd",
    "\ud800",
    "x" * 300,
    [],
    [1, 2],
    {},
    {"a": 1},
)
"""Values that fields of files are found to hold, and nobody meant."""


def damage_bytes(content: bytes, random_state: random.Random) -> bytes:
    """Flip bits, cut, repeat, zero, insert or swap a part of a file."""
    if not content:
        return b"\0"
    return random_state.choice(_BYTE_MUTATIONS)(bytearray(content), random_state)


def damage_json(content: Any, random_state: random.Random, changes: int = 1) -> Any:
    """Drop, rename, repeat or replace some values of a JSON document, at any depth.

    Args:
        content: lists, dicts, strings and numbers; it is not changed.
        random_state: chooses what happens.
        changes: how many values are changed.
    """
    content = copy.deepcopy(content)
    for _ in range(changes):
        containers = list(_containers(content))
        if not containers:
            return _odd_value(random_state)
        _change(random_state.choice(containers), random_state)
    return content


def to_json_bytes(content: Any) -> bytes:
    """JSON as Python writes it: with NaN and Infinity, lone surrogates escaped."""
    return json.dumps(content).encode("ascii")


def _flip_bits(content: bytearray, random_state: random.Random) -> bytes:
    for _ in range(random_state.choice((1, 1, 2, 8, 64))):
        content[random_state.randrange(len(content))] ^= 1 << random_state.randrange(8)
    return bytes(content)


def _flip_header_bits(content: bytearray, random_state: random.Random) -> bytes:
    for _ in range(random_state.choice((1, 2, 4))):
        content[random_state.randrange(min(len(content), 256))] ^= 1 << random_state.randrange(8)
    return bytes(content)


def _cut(content: bytearray, random_state: random.Random) -> bytes:
    return bytes(content[: random_state.randrange(len(content))])


def _cut_tail(content: bytearray, random_state: random.Random) -> bytes:
    return bytes(content[: -random_state.randint(1, min(len(content), 32))])


def _zero_part(content: bytearray, random_state: random.Random) -> bytes:
    start, stop = _part(content, random_state)
    content[start:stop] = bytes(stop - start)
    return bytes(content)


def _drop_part(content: bytearray, random_state: random.Random) -> bytes:
    start, stop = _part(content, random_state)
    del content[start:stop]
    return bytes(content)


def _repeat_part(content: bytearray, random_state: random.Random) -> bytes:
    start, stop = _part(content, random_state)
    content[stop:stop] = content[start:stop]
    return bytes(content)


def _insert_noise(content: bytearray, random_state: random.Random) -> bytes:
    at = random_state.randrange(len(content) + 1)
    content[at:at] = random_state.randbytes(random_state.choice((1, 4, 100)))
    return bytes(content)


def _set_extreme(content: bytearray, random_state: random.Random) -> bytes:
    """Set some consecutive bytes to all zeros or all ones: sizes, counts and offsets."""
    at, size = random_state.randrange(len(content)), random_state.choice((1, 2, 4, 8))
    fill = random_state.choice((b"\0", b"\xff", b"\x7f"))
    content[at : at + size] = (fill * size)[: len(content) - at]
    return bytes(content)


_BYTE_MUTATIONS: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    _flip_bits,
    _flip_bits,
    _flip_header_bits,
    _flip_header_bits,
    _cut,
    _cut_tail,
    _zero_part,
    _drop_part,
    _repeat_part,
    _insert_noise,
    _set_extreme,
)


def _part(content: bytearray, random_state: random.Random) -> tuple[int, int]:
    start = random_state.randrange(len(content))
    return start, min(len(content), start + random_state.choice((1, 4, 64, 4096)))


def _containers(content: Any) -> list[dict | list]:
    """Collect the dicts and lists of a document that are not empty."""
    found, queue = [], [content]
    while queue:
        node = queue.pop()
        if isinstance(node, dict | list) and node:
            found.append(node)
            queue += node.values() if isinstance(node, dict) else node
    return found


def _odd_value(random_state: random.Random) -> Any:
    """A copy, as a later change of the same document may be one of this value."""
    return copy.deepcopy(random_state.choice(ODD_VALUES))


def _change(container: dict | list, random_state: random.Random) -> None:
    if isinstance(container, dict):
        key = random_state.choice(list(container))
        what = random_state.randrange(4)
        if what == 0:
            del container[key]
        elif what == 1:
            container[f"{key}_"] = container.pop(key)
        else:
            container[key] = _odd_value(random_state)
    else:
        index = random_state.randrange(len(container))
        what = random_state.randrange(4)
        if what == 0:
            del container[index]
        elif what == 1:
            container.insert(index, copy.deepcopy(container[index]))
        else:
            container[index] = _odd_value(random_state)
