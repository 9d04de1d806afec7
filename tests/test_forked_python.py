"""Forked programs are as programs that a user starts, but for their imports."""

import json
import os
import signal
import subprocess
import time

import pytest
from forked_python import SpawnedPython

TELL = """
import json, os, sys
print(json.dumps({
    "arguments": sys.argv[1:],
    "folder": os.getcwd(),
    "variable": os.environ.get("VARIABLE"),
    "others": len(os.environ),
    "path": sys.path[:2],
    "main": sys.modules["__main__"].__file__,
    "input": sys.stdin.read(),
    "group": os.getpgid(0) == os.getpid(),
    "medmask": sorted(name for name in sys.modules if name.startswith("medmask")),
}))
print("a warning", file=sys.stderr)
"""


@pytest.fixture
def write(tmp_path):
    """Writes a program; returns its path."""

    def write_program(text):
        path = tmp_path / "program.py"
        path.write_text(text)
        return path

    return write_program


@pytest.mark.parametrize("leads", [True, False], ids=["group", "no group"])
@pytest.mark.parametrize("kind", ["forked", "spawned"])
def test_program_sees_what_it_was_given(forked_python, write, tmp_path, kind, leads):
    program = write(TELL)
    process = (forked_python if kind == "forked" else SpawnedPython()).start(
        [program, "--option", 3],
        env={"VARIABLE": "ü", "PYTHONPATH": "/first", "LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=leads,
    )
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "a warning\n")
    assert json.loads(output) == {
        "arguments": ["--option", "3"],
        "folder": "/",
        "variable": "ü",
        "others": 3,
        "path": [str(tmp_path), "/first"],
        "main": str(program),
        "input": "",
        "group": leads,
        "medmask": [],
    }


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        ("", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no luck')", 1, "no luck\n"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("os._exit(4)", 4, ""),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("atexit.register(print, 'at the end', file=sys.stderr)", 0, "at the end\n"),
    ],
    ids=["well", "status", "words", "error", "at once", "killed", "handler"],
)
def test_end_is_that_of_the_program(forked_python, write, end, status, words):
    program = write(f"import atexit, os, sys\n{end}\n")
    done = forked_python.run([program], env=os.environ, timeout=120)
    assert done.returncode == status
    assert words in done.stderr
    assert bool(words) == bool(done.stderr)


def test_processes_run_at_the_same_time_and_can_be_stopped(forked_python, write, tmp_path):
    program = write(f"open({str(tmp_path)!r} + '/ready', 'w')\nwhile True: pass\n")
    forever = forked_python.start([program], env=os.environ)
    while not (tmp_path / "ready").exists():
        assert forever.poll() is None
        time.sleep(0.01)
    short = forked_python.run([write("print('done')")], env=os.environ, timeout=120)
    assert short.stdout == "done\n"
    with pytest.raises(subprocess.TimeoutExpired):
        forever.wait(0.1)
    forever.send_signal(signal.SIGTERM)
    assert forever.wait(120) == -signal.SIGTERM
    forever.kill()  # nobody is there any more
    endless = write("while True: pass")
    with pytest.raises(subprocess.TimeoutExpired):
        forked_python.run([endless], env=os.environ, timeout=0.1)


def test_program_starts_processes_that_import_it(forked_python, write):
    program = write(
        "import multiprocessing\n"
        "def double(x):\n"
        "    return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(double, [1, 2]))\n"
    )
    done = forked_python.run([program], env=os.environ, timeout=300)
    assert (done.returncode, done.stdout) == (0, "[2, 4]\n"), done.stderr
