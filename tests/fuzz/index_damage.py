"""Seeded damage to the index files of raw downloads, after their form."""

import json
import plistlib
import random
from collections.abc import Callable
from pathlib import Path

from image_files import damage_elements, dicom_file
from mutations import damage_bytes, damage_json, to_json_bytes
from raw_trees import mammogram

_ODD_CELLS = (
    *("", " ", "nan", "-1", "1e400", "x", "../../a", "((1,2),)", "['a", "#", "LEFT", "(1, nan)"),
    *("\u00ef\u00bb\u00bf", "9" * 400),
)

Damage = Callable[[bytes, random.Random], bytes]


def damage(path: Path, choose: random.Random) -> bytes:
    """Damage the content of an index file, mostly in a way that leaves its form whole."""
    content = path.read_bytes()
    by_form = _BY_SUFFIX.get(path.suffix)
    if by_form is not None and choose.random() < 0.7:
        return by_form(content, choose)
    if path.suffix == ".dcm":
        return damage_bytes(content, choose)
    return choose.choice(_OF_TEXT)(content, choose)


def _damage_json(content: bytes, choose: random.Random) -> bytes:
    return to_json_bytes(damage_json(json.loads(content), choose, choose.choice((1, 1, 3))))


def _damage_property_list(content: bytes, choose: random.Random) -> bytes:
    while True:
        damaged = damage_json(plistlib.loads(content), choose, choose.choice((1, 1, 3)))
        try:
            return plistlib.dumps(damaged)
        except (TypeError, OverflowError, ValueError):  # a value that no property list can hold
            continue


def _damage_dicom(_: bytes, choose: random.Random) -> bytes:
    return dicom_file(damage_elements(mammogram(), choose))


def _in_lines(change: Callable[[list[str], str, random.Random], list[str]]) -> Damage:
    def damage_lines(content: bytes, choose: random.Random) -> bytes:
        lines = content.decode("latin-1").split("\n")
        separator = max(",; ", key=lines[0].count)
        return "\n".join(change(lines, separator, choose)).encode("latin-1")

    return damage_lines


def _change_cell(lines: list[str], separator: str, choose: random.Random) -> list[str]:
    at = choose.randrange(len(lines))
    cells = lines[at].split(separator)
    cells[choose.randrange(len(cells))] = choose.choice(_ODD_CELLS)
    return [*lines[:at], separator.join(cells), *lines[at + 1 :]]


def _drop_column(lines: list[str], separator: str, choose: random.Random) -> list[str]:
    at = choose.randrange(len(lines[0].split(separator)))
    rows = (line.split(separator) for line in lines)
    return [separator.join(cells[:at] + cells[at + 1 :]) for cells in rows]


def _rename_column(lines: list[str], separator: str, choose: random.Random) -> list[str]:
    names = lines[0].split(separator)
    names[choose.randrange(len(names))] = choose.choice(["", "other", names[-1]])
    return [separator.join(names), *lines[1:]]


_BY_SUFFIX: dict[str, Damage] = {
    ".json": _damage_json,
    ".xml": _damage_property_list,
    ".dcm": _damage_dicom,
}
_OF_TEXT: tuple[Damage, ...] = (
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
    _in_lines(lambda lines, _, choose: choose.sample(lines, len(lines))),
)
