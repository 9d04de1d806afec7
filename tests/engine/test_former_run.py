"""A run that another one is to replace is lost neither by its faults nor by a kill."""

import types
from pathlib import Path

import pytest

from medmask.engine.former_run import ASIDE, FormerRunRemoval, keep_former_run, set_aside

FORMER = {
    "config.yaml": "former",
    "last_checkpoint": "model_0000099.pth",
    "model_0000099.pth": "former weights",
    "inference/froc.json": "former results",
}


class Killed(Exception):
    pass


@pytest.fixture
def folder(tmp_path):
    for name, text in FORMER.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "notes.txt").write_text("mine")
    return tmp_path


def files_of_run(folder):
    patterns = ["config.yaml", "last_checkpoint", "model_*.pth", "metrics.json", "inference/*"]
    return [file for pattern in patterns for file in sorted(folder.glob(pattern))]


def contents(folder):
    return {str(x.relative_to(folder)): x.read_text() for x in folder.rglob("*") if x.is_file()}


def replace_run(folder, num_steps=0):
    """What a run does that replaces another one."""
    with keep_former_run(folder, lambda: files_of_run(folder)):
        set_aside(folder, files_of_run(folder))
        for name in ("config.yaml", "metrics.json"):
            (folder / name).write_text("new")
        hook = FormerRunRemoval(folder)
        for i in range(num_steps):
            hook.trainer = types.SimpleNamespace(iter=i, start_iter=0)
            hook.after_step()
        raise Killed


@pytest.mark.parametrize("num_steps", [0, 1, 2])
def test_it_is_replaced_with_the_first_step(folder, num_steps):
    with pytest.raises(Killed):
        replace_run(folder, num_steps)
    new = {"config.yaml": "new", "metrics.json": "new"}
    assert contents(folder) == (new if num_steps else FORMER) | {"notes.txt": "mine"}
    assert not list(folder.glob(f"{ASIDE}*"))


def test_kill_at_any_move_loses_nothing(folder, monkeypatch):
    """A killed process does no more moves; the next one that opens the folder makes up for them."""
    moves = []
    for last in range(100):
        moves.clear()

        def before(method, last=last):
            def move(path, target):
                if len(moves) == last:
                    raise Killed
                moves.append(path)
                return method(path, target)

            return move

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", before(Path.replace))
            patch.setattr(Path, "rename", before(Path.rename))
            with pytest.raises(Killed):
                replace_run(folder)
        is_whole = len(moves) < last
        with keep_former_run(folder, lambda: files_of_run(folder)):
            assert contents(folder) == FORMER | {"notes.txt": "mine"}, f"after {last} moves"
        if is_whole:
            break
    assert last == 2 * len(FORMER) + 3


def test_nothing_comes_back_of_a_run_whose_removal_was_killed(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *args, **options: None)
        with pytest.raises(Killed):
            replace_run(folder, num_steps=1)
    with keep_former_run(folder, lambda: files_of_run(folder)):
        left = contents(folder)
    assert left == {"config.yaml": "new", "metrics.json": "new", "notes.txt": "mine"}
