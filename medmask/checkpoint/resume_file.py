"""The checkpoint of a folder that a run is resumed from."""

import os
from collections.abc import Collection
from pathlib import Path

from medmask.checkpoint.tensor_file import load_tensor_file
from medmask.errors import InputError
from medmask.modeling.weights import name_first

LAST = "last_checkpoint"
CHECKPOINTS = ("model_[0-9]*.pth", "model_final.pth")
"""Files that only training leaves, and goes on from."""


def has_checkpoint(folder: str | os.PathLike) -> bool:
    """Tell whether a folder holds a checkpoint that ``--resume`` continues from.

    The name of the last one, in ``last_checkpoint``, is absent where a run was killed as it wrote
    its first one, or where the file was lost.
    """
    folder = Path(folder)
    return (folder / LAST).is_file() or any(any(folder.glob(name)) for name in CHECKPOINTS)


def find_whole_checkpoint(folder: Path, parts: Collection[str]) -> tuple[str, InputError | None]:
    """Find the last checkpoint or, if it is missing or damaged, the newest that is whole.

    All processes find the same.

    Args:
        folder: of the run.
        parts: names that another checkpoint than the last one must hold, or it is weights alone,
            such as AdaBN's, and no place to go on from.

    Returns:
        The path of the checkpoint, and the fault of the last one where it is another.

    Raises:
        InputError: no checkpoint is whole.
    """
    tag = folder / LAST
    is_named = tag.exists()
    fault = None if is_named else InputError(f"{tag} is gone")
    paths = _checkpoints_to_try(folder)
    for path in paths:
        try:
            if not path.is_file():
                raise InputError(f"checkpoint {path} does not exist")
            content = load_tensor_file(str(path))
        except InputError as error:
            fault = fault or error
            continue
        if fault is None or (isinstance(content, dict) and set(parts) <= content.keys()):
            return str(path), fault
    none_is_whole = f"{fault}, and no checkpoint of the folder is whole"
    if is_named:
        none_is_whole = (
            f"{tag} names {paths[0].name}, but neither that nor another checkpoint of the "
            f"folder is whole ({fault})"
        )
    raise InputError(f"{none_is_whole}: start without --resume")


def _checkpoints_to_try(folder: Path) -> list[Path]:
    """List the file that ``last_checkpoint`` names, then all others from the newest on."""
    tag = folder / LAST
    files = [path for path in tag.parent.glob("model_*.pth") if path.is_file()]
    files.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    if not tag.exists():
        return files
    advice = (
        "write the name of another checkpoint of that folder into it, or start without --resume"
    )
    try:
        name = tag.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{tag} cannot be read ({error}): {advice}") from None
    if not name or name_first([name]) != name or Path(name).name != name:
        raise InputError(f"{tag} holds no name of a file: {advice}")
    last = tag.with_name(name)
    return [last, *(path for path in files if path != last)]
