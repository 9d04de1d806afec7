"""Any folder of DICOM mammograms, without labels: for masked autoencoding, teaching, prediction."""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from medmask.converters.contract import Contents, Converter, LeftOut, MarkedLesions, SourceImage
from medmask.converters.raw_files import list_files
from medmask.errors import InputError
from medmask.images import DICOM_SUFFIXES, IMAGE_SUFFIXES, is_dicom, read_gray_levels
from medmask.images.dicom.description import has_burned_in_text
from medmask.images.dicom.elements import Elements
from medmask.images.dicom.parsing import open_dicom
from medmask.images.dicom.reading import describe_pixels, is_for_processing
from medmask.images.dicom.view import read_side, read_view
from medmask.utils.counts import counted
from medmask.utils.json_files import valid_unicode
from medmask.utils.progress import with_progress

logger = logging.getLogger(__name__)

_DIRECTORY_FILE = "DICOMDIR"  # the table of contents of a DICOM medium
_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


def read(raw: Path) -> Contents:
    """List all mammograms in a folder and the folders in it."""
    contents = Contents()
    copies = _Copies()
    names: set[str] = set()
    with_writing: list[str] = []
    paths = list(_find_dicom_files(raw, contents))
    for path in with_progress(paths, "headers", "file", stays=False):
        name = _name(path.relative_to(raw), names)
        try:
            image, has_writing = _read_image(path, name, copies)
        except (InputError, OSError) as error:
            image = LeftOut(name, "its file is damaged, or its header has a fault")
            contents.problems.append(str(error))
        if isinstance(image, LeftOut):
            contents.left_out.append(image)
            continue
        contents.images.append(image)
        names.add(name)
        if has_writing:
            with_writing.append(name)
    if with_writing:
        logger.warning(
            "%s writing in the pixels, by the Burned In Annotation (first %s), which may name the "
            "patient: PNG files do not say so to medmask export-annotations, which leaves such "
            "images out where they are DICOM (convert --link)",
            counted(len(with_writing), "image has", "images have"),
            with_writing[0],
        )
    return contents


def _read_image(path: Path, name: str, copies: "_Copies") -> tuple[SourceImage | LeftOut, bool]:
    """Read what is listed of a file, and whether there is writing in its pixels.

    Raises:
        InputError: the file is damaged, or its header has a fault.
        OSError: it cannot be read.
    """
    with open_dicom(path) as file:
        reason = _why_not(file.elements)
        if reason is None:
            describe_pixels(file)  # a file that is cut off must not pass for the first copy
            reason = _why_a_copy(file.elements, path, copies)
        if reason is not None:
            return LeftOut(name, reason), False
        return _describe(path, name, file.elements), has_burned_in_text(file.elements)


def _find_dicom_files(raw: Path, contents: Contents) -> Iterator[Path]:
    """DICOM files, by name and contents; other images are left out, and archives a problem."""
    archives: list[Path] = []
    for path in list_files(raw, contents.problems):
        try:
            if path.name.upper() == _DIRECTORY_FILE:
                continue
            if is_dicom(path):
                yield path
            elif path.suffix.lower() in IMAGE_SUFFIXES:
                name = valid_unicode(path.relative_to(raw).as_posix())
                contents.left_out.append(LeftOut(name, "it is no DICOM file"))
            elif path.suffix.lower() in _ARCHIVES:
                archives.append(path)
        except OSError as error:
            contents.problems.append(f"file {path} cannot be read ({error.strerror})")
    if archives:
        contents.problems.append(
            f"not looked into: {counted(len(archives), 'archive')}, the first is {archives[0]}; "
            "unpack them in the folder, or move them out of it"
        )


def _name(path: Path, taken: set[str]) -> str:
    """The path without a suffix of DICOM, which it keeps if ``taken`` has that name already."""
    whole = valid_unicode(path.as_posix())
    short = whole.removesuffix(path.suffix) if path.suffix.lower() in DICOM_SUFFIXES else whole
    return whole if short in taken else short


def _why_not(elements: Elements) -> str | None:
    if not elements.has("Rows") and not elements.has("Columns"):
        if _is_class_of_images(elements):
            raise elements.fault("Rows", "is missing in an image, so the file may be cut off")
        return "it holds no image"
    modality = elements.text("Modality", "MG")
    if modality != "MG":
        return f"its modality is {modality}, not MG"
    frames = elements.integer("NumberOfFrames", default=1)
    if frames > 1:
        return f"it holds {frames} frames"
    if is_for_processing(elements):
        return "it is FOR PROCESSING, raw values of the detector"
    return None


def _is_class_of_images(elements: Elements) -> bool:
    from pydicom.uid import UID

    return "Image Storage" in UID(elements.text("SOPClassUID")).name


def _why_a_copy(elements: Elements, path: Path, copies: "_Copies") -> str | None:
    identity = elements.text("SOPInstanceUID")
    first = copies.first_of(identity, path) if identity else path
    return None if first == path else f"it is the same image as {first}"


class _Copies:
    """Files of one SOP Instance UID and the same pixels.

    The identifier alone does not tell: programs that take patients' data out of files have given
    all of a folder the same one. Pixels are read where several files share it.
    """

    def __init__(self) -> None:
        self._by_identity: dict[str, Path] = {}
        self._by_pixels: defaultdict[str, dict[bytes, Path]] = defaultdict(dict)

    def first_of(self, identity: str, path: Path) -> Path:
        """Return the first file of the same image, which is the path itself where there is none.

        Raises:
            InputError: its pixels, which others of its identifier are compared with, cannot be
                read.
        """
        first = self._by_identity.setdefault(identity, path)
        if first == path:
            return path
        of_identity = self._by_pixels[identity]
        if not of_identity:
            with suppress(InputError):  # it stands for no other, and is named when it is converted
                of_identity[_hash_pixels(first)] = first
        return of_identity.setdefault(_hash_pixels(path), path)


def _hash_pixels(path: Path) -> bytes:
    values, _ = read_gray_levels(path)
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes()).digest()


def _describe(path: Path, name: str, elements: Elements) -> SourceImage:
    maker, model = elements.text("Manufacturer"), elements.text("ManufacturerModelName")
    return SourceImage(
        path=path,
        name=name,
        patient_id=elements.identifier("PatientID") or None,
        study_date=elements.text("StudyDate") or None,
        laterality=read_side(elements) or None,
        view=read_view(elements) or None,
        scanner=" ".join(filter(None, (maker, model))) or None,
    )


CONVERTER = Converter("dicom_folder", "a folder of DICOM files", read, MarkedLesions.NONE)
