"""The ``medmask`` command, its table, and that help needs nothing heavy."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medmask.commands.main import main
from medmask.commands.registry import COMMANDS, as_tools
from medmask.version import __version__

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "detectron2", "torchvision", "cv2", "matplotlib", "scipy", "numpy"}
TELL_HEAVY = f"""
import atexit, sys
atexit.register(lambda: print("loaded:", sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr))
"""


def run(capsys, *arguments):
    """The status and what was printed."""
    try:
        main(arguments)
        status = 0
    except SystemExit as end:
        status = end.code
    return status, *capsys.readouterr()


def start(program: str, *arguments: object, **options) -> subprocess.CompletedProcess:
    """Run a program in a fresh interpreter that tells at its end what it has loaded."""
    return subprocess.run(
        [sys.executable, "-c", TELL_HEAVY + program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


def test_help_lists_every_command_in_one_line(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    for name, command in COMMANDS.items():
        assert f"  {name} " in out
        assert command.help in out
    assert max(map(len, out.splitlines())) <= 100


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"medmask {__version__}\n", "")


def test_nothing_asked_for_is_a_mistake(capsys):
    status, out, errors = run(capsys)
    assert (status, out) == (2, "")
    assert "usage: medmask COMMAND" in errors


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trian", "there is no command trian; did you mean train?"),
        ("check_data", "did you mean check-data?"),
        ("evaluate_froc", "did you mean evaluate?"),
        ("lazyconfig_train_net.py", "did you mean train?"),
        ("xyzzy", "there is no command xyzzy; medmask --help lists all"),
        ("--resume", "there is no option --resume before a command; see medmask --help"),
    ],
)
def test_unknown_command_is_one_sentence(capsys, name, words):
    status, out, errors = run(capsys, name)
    assert (status, out) == (2, "")
    assert words in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_tool_show_the_same_options(capsys, monkeypatch, name):
    command = COMMANDS[name]
    status, out, _ = run(capsys, name, "--help")
    assert status == 0
    assert f"usage: medmask {name} " in out
    assert "tools/" not in out
    monkeypatch.setattr(sys, "argv", [f"tools/{command.tool}"])
    with pytest.raises(SystemExit):
        importlib.import_module(command.module).main(["--help"])
    of_tool = capsys.readouterr().out
    assert f"usage: {command.tool} " in of_tool
    assert "medmask " + name not in of_tool
    assert f"python tools/{command.tool} " in of_tool
    options = [x.split()[0] for x in out.splitlines() if x.startswith("  -")]
    assert [x.split()[0] for x in of_tool.splitlines() if x.startswith("  -")] == options


@pytest.mark.parametrize("name", COMMANDS)
def test_help_loads_nothing_heavy(name):
    command = COMMANDS[name]
    tool = ROOT / "tools" / command.tool
    for program in (
        f"from medmask.commands.main import main; main(['{name}', '--help'])",
        f"import runpy; sys.argv = ['{tool}', '--help']; "
        f"runpy.run_path('{tool}', run_name='__main__')",
    ):
        done = start(program)
        assert done.returncode == 0
        assert done.stderr == "loaded: []\n"


def test_table_names_every_tool():
    tools = {path.name for path in (ROOT / "tools").glob("*.py")}
    assert tools == {command.tool for command in COMMANDS.values()}


def test_evaluation_of_files_loads_neither_pytorch_nor_detectron2(tmp_path):
    annotations = {
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": 1, "name": "malignant"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}],
    }
    detections = [{"image_id": 1, "category_id": 1, "bbox": [2, 2, 8, 8], "score": 0.9}]
    files = tmp_path / "annotations.json", tmp_path / "detections.json", tmp_path / "out.json"
    files[0].write_text(json.dumps(annotations))
    files[1].write_text(json.dumps(detections))
    options = ["--annotations", files[0], "--detections", files[1], "--json", files[2]]
    done = start("from medmask.__main__ import main; main()", "evaluate", *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "loaded: ['numpy']\n"
    assert json.loads(files[2].read_text())["sensitivity"][0] == 1


def test_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "medmask", "predict"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "usage: medmask predict " in done.stderr


def test_examples_name_tools():
    assert as_tools("medmask train x; medmask train-phantom-expert; medmask is") == (
        "python tools/lazyconfig_train_net.py x; python tools/train_phantom_expert.py; medmask is"
    )
    assert as_tools("torchrun -m medmask train x") == "torchrun tools/lazyconfig_train_net.py x"
