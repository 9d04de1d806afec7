"""The run that another one replaces: it is set aside until that one has done its first step.

So what goes wrong before, such as start weights that do not fit or memory that does not suffice,
costs nothing. Files are moved within the folder, and a kill at any moment loses none of them.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from detectron2.engine import HookBase
from detectron2.utils import comm

ASIDE = ".former_run"
"""Folder in that of the run, which holds all files of the former one."""
_MOVING = ".former_run.moving"
"""Folder of some of its files, while the others are where they were."""
_REMOVED = ".former_run.removed"
"""Folder of what is left of it while it is removed."""


@contextlib.contextmanager
def keep_former_run(folder: Path, list_files: Callable[[], Iterable[Path]]) -> Iterator[None]:
    """Put a run back that is set aside, at the end of this context or, after a kill, at its start.

    Args:
        folder: of the run.
        list_files: lists all files of the run that is in the folder.
    """
    _put_back(folder, list_files)
    try:
        yield
    finally:
        _put_back(folder, list_files)


def set_aside(folder: Path, files: Iterable[Path]) -> None:
    """Move all files of a run out of the way of another one."""
    _move(files, folder, folder / _MOVING)
    if (folder / _MOVING).exists():
        (folder / _MOVING).rename(folder / ASIDE)


def _put_back(folder: Path, list_files: Callable[[], Iterable[Path]]) -> None:
    shutil.rmtree(folder / _REMOVED, ignore_errors=True)
    moving, aside = folder / _MOVING, folder / ASIDE
    if aside.exists():
        for file in list_files():  # of a run that has done no step
            file.unlink()
        aside.rename(moving)
    if moving.exists():
        _move((x for x in sorted(moving.rglob("*")) if not _is_folder(x)), moving, folder)
        shutil.rmtree(moving)


def _move(files: Iterable[Path], source: Path, target: Path) -> None:
    for file in files:
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


class FormerRunRemoval(HookBase):
    """Removes the former run as soon as the first step of the new one is complete."""

    def __init__(self, folder: Path) -> None:
        """Create the hook.

        Args:
            folder: of the run.
        """
        self._folder = folder

    def after_step(self) -> None:
        is_first = self.trainer.iter == self.trainer.start_iter
        aside = self._folder / ASIDE
        if is_first and comm.is_main_process() and aside.exists():
            aside.rename(self._folder / _REMOVED)  # at once: a kill leaves nothing to put back
            shutil.rmtree(self._folder / _REMOVED, ignore_errors=True)
