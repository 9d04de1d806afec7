"""Images of an archive as files, those of the next studies while the model works."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from medmask.dicomweb.client import DicomwebClient, Instance
from medmask.dicomweb.errors import RefusedError
from medmask.dicomweb.study_filter import MAMMOGRAPHY
from medmask.images.dicom.parsing import open_dicom
from medmask.utils.files import atomic_write

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class FetchedImages:
    """Outcome of fetching the images of a study.

    Attributes:
        paths: the files; nobody has looked into them yet.
        errors: one for each image that the archive does not give.
    """

    paths: tuple[Path, ...]
    errors: tuple[RefusedError, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(map(str, self.errors))

    @property
    def is_server_at_fault(self) -> bool:
        """True if the archive gives none of the images, by a fault of its own."""
        return not self.paths and any((x.status or 0) >= 500 for x in self.errors)


def fetch_images(
    client: DicomwebClient, instances: Iterable[Instance], folder: Path
) -> FetchedImages:
    """Fetch images; those whose files are there are not fetched again.

    Args:
        client: of the archive.
        instances: the images.
        folder: where to write ``SOP_INSTANCE_UID.dcm``.

    Raises:
        UnreachableError: the archive does not answer; the files that are there are whole.
        AccessError: it does not let us in.
        OSError: the folder cannot be written to.
    """
    paths, errors = [], []
    for instance in instances:
        path = folder / f"{instance.name.instance}.dcm"
        if not path.exists():
            try:
                content = client.retrieve(instance.name)
            except RefusedError as error:
                errors.append(error)
                continue
            with atomic_write(path) as file:
                file.write(content)
        paths.append(path)
    return FetchedImages(tuple(paths), tuple(errors))


def find_wrong_image(path: Path, study: str) -> str | None:
    """Look whether a fetched file is the mammogram that was asked for; if not, it is removed.

    In the thread of the model: what silences pydicom, which warns of headers with their values,
    does so for all threads.

    Args:
        path: of the file, named by its SOP Instance UID.
        study: Study Instance UID.

    Returns:
        A sentence if it is another object, or none; None if it is the right one.
    """
    try:
        with open_dicom(path) as file:
            header = file.elements.dataset
            stated = (str(header.StudyInstanceUID), str(header.SOPInstanceUID))
            is_mammogram = header.get("Modality") == MAMMOGRAPHY
    except Exception:  # whatever is raised may quote a value
        what = "damaged, or not DICOM"
    else:
        if stated != (study, path.stem):
            what = "another object"
        elif not is_mammogram:
            what = f"no mammogram (Modality {MAMMOGRAPHY})"
        else:
            return None
    path.unlink()
    return f"image {path.stem} of study {study} is left out: what the archive gives is {what}"


def work_ahead(
    items: Iterable[Item], work: Callable[[Item], Result], ahead: int
) -> Generator[tuple[Item, Callable[[], Result]], None, None]:
    """Do work in threads, on some items ahead of the one that is taken.

    Args:
        items: in their order.
        work: done on each once.
        ahead: how many items at most.

    Yields:
        An item, and a function that returns the result, or raises what the work raised.
    """
    with ThreadPoolExecutor(ahead, thread_name_prefix="fetch") as threads:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append((item, threads.submit(work, item)))
                if len(waiting) > ahead:
                    done, future = waiting.popleft()
                    yield done, future.result
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result
        finally:
            for _, future in waiting:
                future.cancel()
