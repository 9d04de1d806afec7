"""Images of an archive as files, those of the next studies while the model works."""

import io
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydicom import dcmread

from medmask.dicomweb.client import DicomwebClient, Instance, InstanceName
from medmask.dicomweb.errors import RefusedError
from medmask.utils.files import atomic_write

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class FetchedImages:
    """Outcome of fetching the images of a study.

    Attributes:
        paths: the files.
        errors: one for each image that the archive does not give, or not whole.
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
                check_object(content, instance.name, client.connection.url)
            except RefusedError as error:
                errors.append(error)
                continue
            with atomic_write(path) as file:
                file.write(content)
        paths.append(path)
    return FetchedImages(tuple(paths), tuple(errors))


def check_object(content: bytes, name: InstanceName, url: str) -> None:
    """Check that a file is the object that was asked for.

    Raises:
        RefusedError: it is another, or none.
    """
    try:
        header = dcmread(
            io.BytesIO(content), specific_tags=["SOPInstanceUID", "StudyInstanceUID"], force=False
        )
        stated = (str(header.StudyInstanceUID), str(header.SOPInstanceUID))
    except Exception:  # whatever pydicom raises may quote a value
        raise RefusedError(
            f"{url}/{name.path}: what the archive gives is damaged, or not DICOM"
        ) from None
    if stated != (name.study, name.instance):
        raise RefusedError(f"{url}/{name.path}: what the archive gives is another object")


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
