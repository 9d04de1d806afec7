"""Damaged index files of raw downloads: refused by one sentence, or read; nothing is invented."""

import json
import math
import random
import re
import traceback
from pathlib import Path

import numpy as np
import pytest
from campaign import REFUSED, RIGHT, run_campaign, seeds
from index_damage import damage
from isolation import assert_accepted, call
from raw_trees import RAW_TREES, find_indexes

from medmask.converters.contract import Contents
from medmask.converters.registry import find_converter
from medmask.errors import InputError

PARTLY = "with problems"
LIST_OF_READER = re.compile(r"annotation file \S+ has \d+ problems:\n")
"""The reader of COCO files shows the first problems of a file, one a line."""


@pytest.fixture(scope="module", params=sorted(RAW_TREES))
def raw_tree(request, tmp_path_factory):
    raw = tmp_path_factory.mktemp(request.param)
    RAW_TREES[request.param](raw)
    return request.param, raw


def judge(name: str, raw: Path) -> str:
    """Read the index of a download, and look at what is made of it."""
    try:
        contents = find_converter(name).read(raw)
    except InputError as error:
        _check_sentence(str(error))
        return REFUSED
    for problem in contents.problems:
        _check_sentence(problem)
    _check_images(contents, raw)
    return PARTLY if contents.problems else RIGHT


def _check_sentence(text: str) -> None:
    if LIST_OF_READER.match(text):
        text = text.replace("\n", " ")
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
        assert image.pixel_spacing_mm is None or 0 < image.pixel_spacing_mm < math.inf
        json.dumps([image.attributes, *(lesion.attributes for lesion in image.lesions)])
        for lesion in image.lesions:
            for outline in lesion.outlines:
                assert len(outline) >= 3
                assert np.isfinite(outline).all()
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


def damage_and_judge(name: str, raw: Path, seeds: range) -> dict[str, int]:
    """Damage one index file after another; runs in one child process, as a child takes longer to
    start than an index to be read."""
    files = find_indexes(name, raw)
    originals = {path: path.read_bytes() for path in files}

    def case(choose: random.Random) -> str:
        path = choose.choice(files)
        path.write_bytes(damage(path, choose))
        try:
            return judge(name, raw)
        except AssertionError:
            raise
        except Exception:
            raise AssertionError(f"{path.name}: {traceback.format_exc()}") from None
        finally:
            path.write_bytes(originals[path])

    return run_campaign(seeds, case)


@seeds
def test_damaged_index_files(seeds, raw_tree):
    outcome = call(damage_and_judge, *raw_tree, seeds, seconds=30 + len(seeds))
    verdicts = assert_accepted(outcome)
    assert sum(verdicts.values()) == len(seeds)
    assert verdicts[REFUSED] + verdicts[PARTLY]  # not all damage went unseen
