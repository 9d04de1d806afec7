"""Reading JSON files that may be anything, and writing them."""

import json
import math
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.utils.files import atomic_write

_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def read_json(path: str | os.PathLike, kind: str) -> Any:
    """Parse a JSON file in UTF-8 (or UTF-16 or UTF-32, with or without byte order mark).

    ``NaN`` and ``Infinity``, which JSON does not have but Python and pandas write, are read as
    floats.

    Args:
        path: the file.
        kind: what it is, such as "annotation file"; errors begin with it.

    Returns:
        The content. Every string is valid Unicode, and no object had a key twice.

    Raises:
        InputError: the file is absent, no regular file (a pipe would block), or its JSON is broken
            or cut off; the message gives the line and the offset.
    """
    return parse_json(read_json_bytes(path, kind), path, kind)


def read_json_bytes(path: str | os.PathLike, kind: str) -> bytes:
    """Read a JSON file that is parsed, hashed or both; see :func:`read_json`.

    Raises:
        InputError: the file is absent, no regular file, or empty.
    """
    file = f"{kind} {path}"
    try:
        is_regular = stat.S_ISREG(os.stat(path).st_mode)
        content = Path(path).read_bytes() if is_regular else b""  # a pipe would block
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a name that no file can have
        raise InputError(f"{file} cannot be read: {error}") from None
    if not is_regular:
        raise InputError(f"{file} is not a file, but a folder, a pipe or a device")
    if not content.strip():
        raise InputError(f"{file} is empty; copy or write the file again")
    return content


def parse_json(data: bytes, path: str | os.PathLike, kind: str) -> Any:
    """Parse what :func:`read_json_bytes` gave; see :func:`read_json`."""
    file = f"{kind} {path}"
    text = _decode(data, file)
    try:
        content = json.loads(text, object_pairs_hook=_to_dict)
        is_unicode = not _HALF_CHARACTER.search(text) or _is_unicode(content)
    except json.JSONDecodeError as error:
        at_end = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated")
        what = "is cut off" if at_end else "is not valid JSON"
        raise InputError(
            f"{file} {what} at line {error.lineno}, column {error.colno} (offset {error.pos}): "
            f"{error.msg}; copy or write the file again"
        ) from None
    except _RepeatedKey as error:
        raise InputError(
            f"{file} has an object with the key {error} more than once, of which all but the last "
            "would be lost; write each key once"
        ) from None
    except RecursionError:
        raise InputError(f"{file} is nested too deeply; write the file again") from None
    except ValueError:  # Python parses no whole number of more than 4300 digits
        raise InputError(f"{file} has a number of thousands of digits; correct it") from None
    if not is_unicode:
        raise InputError(
            f"{file} has text with half a character (a lone surrogate such as \\ud800); correct it"
        )
    return content


def parse_object(data: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; None of anything else, such as a line of a journal that was cut off."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write strict JSON (no NaN), whole or not at all."""
    text = json.dumps(content, indent=1, allow_nan=False)
    with atomic_write(path, "w") as file:
        file.write(text + "\n")


def finite_or_none(value: float) -> float | None:
    """JSON has neither NaN nor infinity: those become null."""
    return value if math.isfinite(value) else None


def finite_values(value: Any) -> Any:
    """Values for :func:`write_json`, in which null stands for each number that is not finite."""
    if isinstance(value, dict):
        return {key: finite_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_values(item) for item in value]
    return finite_or_none(value) if isinstance(value, float) else value


def valid_unicode(text: str | os.PathLike) -> str:
    """Replace what is no Unicode in a text that may name any file, as JSON wants it."""
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", os.fspath(text))


def show(value: Any) -> str:
    """Write a value as a short piece of JSON, to be named in an error."""
    if value is None:
        return "(missing or null)"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply)"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _decode(content: bytes, file: str) -> str:
    try:
        return content.decode(json.detect_encoding(content))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file} is not UTF-8 text (offset {error.start}); copy or write the file again"
        ) from None


class _RepeatedKey(Exception):
    pass


def _to_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise _RepeatedKey(json.dumps(key, ensure_ascii=False))
    return content


def _is_unicode(content: Any) -> bool:
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
