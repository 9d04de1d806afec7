"""Reading a file of annotations of any tool that is known."""

from pathlib import Path

from medmask.annotation.cvat import REVIEWED
from medmask.annotation.cvat_coco_reading import read_cvat_coco
from medmask.annotation.cvat_reading import read_cvat
from medmask.annotation.label_studio_reading import read_label_studio
from medmask.annotation.reader_annotations import ReaderAnnotations
from medmask.errors import InputError
from medmask.utils.json_files import read_json
from medmask.utils.xml_files import read_xml

_KIND = "annotation file"


def read_annotations(path: Path, *, all_reviewed: bool = False) -> ReaderAnnotations:
    """Read what readers have drawn; the content of the file tells its format.

    Args:
        path: Label Studio's JSON export, or CVAT's export "CVAT for images 1.1" or "COCO 1.0".
        all_reviewed: whether every image in a file of CVAT was looked at.

    Raises:
        InputError: the file is missing, damaged, or of no known format; or which images were looked
            at is not told, or is told twice.
    """
    start = _first_bytes(path)
    if start.startswith(b"PK"):
        raise InputError(f"{path} is a ZIP archive: unpack it, and give the file in it")
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return read_cvat(read_xml(path, _KIND), path, all_reviewed=all_reviewed)
    content = read_json(path, _KIND)
    if isinstance(content, list):
        if all_reviewed:
            raise InputError(
                f"{path} is of Label Studio, which tells what was submitted: leave out "
                "--all-reviewed"
            )
        return read_label_studio(content, path)
    if not all_reviewed:
        raise InputError(
            f"{path} is a COCO file, which does not tell the images that were looked at: export "
            f"'CVAT for images 1.1', where the tag '{REVIEWED}' does, or give --all-reviewed if "
            "all of them were"
        )
    return read_cvat_coco(content, path)


def _first_bytes(path: Path) -> bytes:
    """The beginning of a regular file; nothing of any other, which its reader will refuse."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(64)
