"""Reading XML files that may be anything."""

import os
import stat
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from medmask.errors import InputError

_DEEPEST = 100  # elements within each other


def read_xml(path: str | os.PathLike, kind: str) -> Element:
    """Parse an XML file without a document type, so that nothing in it can be expanded or fetched.

    Args:
        path: the file.
        kind: what it is, such as "annotation file"; errors begin with it.

    Returns:
        Its root element.

    Raises:
        InputError: the file is absent, no regular file, no sound XML, or declares a document type
            or entities, with which a few bytes become gigabytes or name other files.
    """
    file = f"{kind} {path}"
    builder = _Builder(file)
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = builder.refuse_document_type
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{file} is not a file, but a folder, a pipe or a device")
        parser.Parse(Path(path).read_bytes(), True)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    except InputError:  # which is a ValueError
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:  # the latter of encodings
        raise InputError(f"{file} is not valid XML ({error}); export it again") from None
    return builder.close()


class _Builder:
    """Takes what the parser finds, and refuses what is dangerous."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._tree = TreeBuilder()
        self._depth = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise InputError(f"{self._file} is nested too deeply; export it again")
        self._tree.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._tree.end(tag)

    def data(self, text: str) -> None:
        self._tree.data(text)

    def refuse_document_type(self, *_: Any) -> None:
        raise InputError(
            f"{self._file} declares a document type, by which a file can grow without bounds or "
            "name other files; annotation tools write none: export it again"
        )

    def close(self) -> Element:
        return self._tree.close()
