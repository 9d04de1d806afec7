"""Damaged index files of raw downloads: refused by one sentence, or read; nothing is invented."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign import REFUSED, RIGHT, run_campaign, seeds
from isolation import assert_accepted, call
from mutations import damage_bytes, damage_json, to_json_bytes
from raw_trees import RAW_TREES

from medmask.data.converters.contract import Contents
from medmask.data.converters.registry import find_converter
from medmask.errors import InputError

ODD_CELLS = ("", " ", "nan", "-1", "1e400", "x", "../../a", "((1,2),)", "['a", "\ufeff", "9" * 400)


@pytest.fixture(scope="module", params=sorted(RAW_TREES))
def raw_tree(request, tmp_path_factory):
    raw = tmp_path_factory.mktemp(request.param)
    RAW_TREES[request.param](raw)
    return request.param, raw


def _in_lines(change: Callable[[list[str], random.Random], list[str]]):
    def damage(content: bytes, choose: random.Random) -> bytes:
        lines = content.decode("latin-1").split("\n")
        return "\n".join(change(lines, choose)).encode("latin-1")

    return damage


def _change_cell(lines: list[str], choose: random.Random) -> list[str]:
    at = choose.randrange(len(lines))
    cells = lines[at].split(",")
    cells[choose.randrange(len(cells))] = choose.choice(ODD_CELLS).encode().decode("latin-1")
    return [*lines[:at], ",".join(cells), *lines[at + 1 :]]


def _drop_column(lines: list[str], choose: random.Random) -> list[str]:
    at = choose.randrange(len(lines[0].split(",")))
    return [",".join(part for i, part in enumerate(x.split(",")) if i != at) for x in lines]


def _rename_column(lines: list[str], choose: random.Random) -> list[str]:
    names = lines[0].split(",")
    names[choose.randrange(len(names))] = choose.choice(["", "other", names[-1]])
    return [",".join(names), *lines[1:]]


TABLE_DAMAGE: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    damage_bytes,
    lambda content, _: b"\xef\xbb\xbf" + content,
    lambda content, _: content.replace(b"\n", b"\r\n"),
    lambda content, _: content.replace(b",", b";"),
    lambda content, _: content.decode("latin-1").encode("utf-16"),
    lambda content, _: content.replace(b"a", b"\xe9"),
    lambda content, _: content.split(b"\n")[0] + b"\n",
    lambda content, choose: choose.choice([b"", b"\n", b"\0", b"<html>", content * 2]),
    _in_lines(_change_cell),
    _in_lines(_change_cell),
    _in_lines(_drop_column),
    _in_lines(_rename_column),
    _in_lines(lambda lines, choose: choose.sample(lines, len(lines))),
)


def damage(path: Path, choose: random.Random) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".json" and choose.random() < 0.7:
        return to_json_bytes(damage_json(json.loads(content), choose, choose.choice((1, 1, 3))))
    return choose.choice(TABLE_DAMAGE)(content, choose)


def judge(name: str, raw: Path) -> str:
    """Read the index of a download; runs in a child process."""
    try:
        contents = find_converter(name).read(raw)
    except InputError as error:
        _check_sentence(str(error))
        return REFUSED
    for problem in contents.problems:
        _check_sentence(problem)
    _check_images(contents, raw)
    return RIGHT


def _check_sentence(text: str) -> None:
    assert text.strip()
    assert "\n" not in text.strip()
    assert len(text) < 1500


def _check_images(contents: Contents, raw: Path) -> None:
    for image in contents.images:
        assert image.path.is_file()
        assert image.path.resolve().is_relative_to(raw.resolve())
        assert ".." not in image.name.split("/")
        assert not image.name.startswith("/")
        assert image.laterality in ("L", "R", None)
        assert image.malignant in (True, False, None)
        for lesion in image.lesions:
            if lesion.box is not None:
                x0, y0, x1, y1 = lesion.box
                assert all(map(math.isfinite, lesion.box))
                assert x0 < x1
                assert y0 < y1
    for left_out in contents.left_out:
        assert left_out.name
        assert left_out.reason


def test_sound_trees_have_no_problems(raw_tree):
    name, raw = raw_tree
    contents = find_converter(name).read(raw)
    if name not in ("cbis_ddsm", "cmmd"):  # whose files say more than these stubs do
        assert not contents.problems
        assert contents.images


@seeds
def test_damaged_index_files(seeds, raw_tree):
    name, raw = raw_tree
    files = sorted(
        path for path in raw.rglob("*") if path.suffix in (".csv", ".json", ".txt", ".xlsx")
    )
    originals = {path: path.read_bytes() for path in files}

    def case(choose: random.Random) -> str:
        path = choose.choice(files)
        path.write_bytes(damage(path, choose))
        try:
            return assert_accepted(call(judge, name, raw))
        finally:
            path.write_bytes(originals[path])

    verdicts = run_campaign(seeds, case)
    assert verdicts[REFUSED] + verdicts[RIGHT] == len(seeds)
