"""Writing the images of a set by worker processes, those aside that are there already."""

import contextlib
from collections.abc import Sequence

from medmask.converters.image_files import ImageTask, WrittenImage, write_image
from medmask.converters.journal import ImageJournal
from medmask.utils.progress import Progress
from medmask.utils.worker_pool import map_in_processes


def write_images(
    tasks: Sequence[ImageTask], journal: ImageJournal, workers: int, *, show_progress: bool
) -> list[WrittenImage]:
    """Write the images that the journal does not have, and add them to it.

    Args:
        tasks: one for each image of the set; no two have the same name.
        journal: of the output folder.
        workers: processes.
        show_progress: whether to tell how far it is.

    Returns:
        All images, in the order of the tasks; those that could not be written have an ``error``.
    """
    done = {task.image.name: journal.find(task) for task in tasks}
    missing = [task for task in tasks if done[task.image.name] is None]
    with (
        contextlib.closing(map_in_processes(write_image, missing, workers)) as results,
        Progress(
            "writing",
            len(tasks),
            "image",
            done_before=len(tasks) - len(missing),
            show_progress=show_progress,
        ) as progress,
    ):
        for task, written in zip(missing, results, strict=True):
            done[task.image.name] = written
            if written.error is None:
                journal.append(task, written)
            progress.advance()
    return [written for written in done.values() if written is not None]
