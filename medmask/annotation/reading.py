"""Reading a file of annotations of any tool that is known."""

from pathlib import Path

from medmask.annotation.label_studio_reading import read_label_studio
from medmask.annotation.reader_annotations import ReaderAnnotations
from medmask.utils.json_files import read_json


def read_annotations(path: Path) -> ReaderAnnotations:
    """Read what readers have drawn; the content of the file tells its format.

    Args:
        path: Label Studio's JSON export.

    Raises:
        InputError: the file is missing, damaged, or of no known format.
    """
    return read_label_studio(read_json(path, "annotation file"), path)
