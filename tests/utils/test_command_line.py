"""How tools end: one sentence, a status, no traceback."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medmask.errors import InputError
from medmask.utils.command_line import command_line_tool

ROOT = Path(__file__).parents[2]


def run(capsys, main):
    """The status and what the tool printed to stderr."""
    with pytest.raises(SystemExit) as stopped:
        command_line_tool(main)()
    return stopped.value.code, capsys.readouterr().err


def raising(error):
    def main():
        raise error

    return main


def test_status_of_success_is_what_main_returns(capsys):
    assert run(capsys, lambda: None) == (0, "")
    assert run(capsys, lambda: 1) == (1, "")


def test_input_error_is_printed_as_it_is(capsys):
    status, words = run(capsys, raising(InputError("train.device is 'tpu'")))
    assert (status, words) == (2, "error: train.device is 'tpu'\n")


def test_names_of_files_do_not_act_on_the_terminal(capsys):
    name = "a\x1b[2J\x1b]0;title\x07\x9b1m\u202egnp.größe"
    status, words = run(capsys, raising(InputError(f"{name}:\n\tis missing")))
    shown = r"a\x1b[2J\x1b]0;title\x07\x9b1m\u202egnp.größe"
    assert (status, words) == (2, f"error: {shown}:\n\tis missing\n")
    status, words = run(capsys, raising(FileNotFoundError(2, "No such file", "\x1b[31m")))
    assert r"error: \x1b[31m: no such file" in words


@pytest.mark.parametrize(
    "number", ["ENOSPC", "EACCES", "EROFS", "ENOTDIR", "EISDIR", "EMFILE", "ENAMETOOLONG", "EIO"]
)
def test_operating_system_error_is_one_sentence_with_the_path(capsys, number):
    code = getattr(errno, number)
    status, words = run(capsys, raising(OSError(code, os.strerror(code), "/some/file.json")))
    assert status == 2
    assert words.startswith("error: /some/file.json: ")
    assert os.strerror(code)[1:] in words
    assert words.count("\n") == 1


def test_error_of_a_library_without_a_number_is_one_line(capsys):
    status, words = run(capsys, raising(OSError("image file\nis truncated")))
    assert (status, words) == (2, "error: image file is truncated\n")


def test_file_in_the_way_of_a_folder(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    status, words = run(capsys, (tmp_path / "file" / "sub").mkdir)
    assert status == 2
    assert "file is where a folder should be" in words


def test_lack_of_memory_is_one_sentence(capsys):
    import torch

    cuda = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore\nlines")
    for error in (MemoryError(), cuda):
        status, words = run(capsys, raising(error))
        assert status == 2
        assert words.startswith("error: out of memory: use a smaller batch")
        assert words.count("\n") == 1
    status, words = run(capsys, lambda: torch.empty(1 << 60))
    assert (status, words.count("\n")) == (2, 1)


def test_loss_that_is_not_finite_is_one_sentence(capsys):
    status, words = run(capsys, raising(FloatingPointError("the loss is not finite")))
    assert (status, words) == (2, "error: the loss is not finite\n")


def test_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        command_line_tool(raising(ZeroDivisionError()))()


def test_handlers_are_put_back(capsys):
    before = signal.getsignal(signal.SIGTERM)
    run(capsys, lambda: None)
    assert signal.getsignal(signal.SIGTERM) == before


PROGRAM = """
import signal, sys, time
from medmask.utils.command_line import command_line_tool

@command_line_tool
def main():
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        if "slow" in sys.argv:
            print("cleaning", flush=True)
            time.sleep(600)

main()
"""


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        **options,
    )


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_signal_ends_with_its_status_and_one_sentence(name, status):
    process = start()
    assert process.stdout.readline() == "ready\n"
    process.send_signal(getattr(signal, name))
    _, words = process.communicate(timeout=300)
    assert process.returncode == status
    assert words == f"stopped by {name}\n"


def test_second_signal_ends_at_once():
    process = start("slow")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "cleaning\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)  # less than the cleaning takes
    assert process.returncode == -signal.SIGTERM


def test_ignored_signal_stays_ignored():
    process = start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.kill()
    process.communicate()


PRINTING = """
from medmask.utils.command_line import command_line_tool

@command_line_tool
def main():
    for i in range(100_000):
        print(i)

main()
"""


def run_program(program, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", program], env=environment, text=True, **options)


def test_reader_that_goes_away_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = run_program(PRINTING, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_output_to_a_full_disk_is_one_sentence():
    with open("/dev/full", "w") as full:
        done = run_program(PRINTING, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert "no space left on device" in done.stderr
    assert done.stderr.count("\n") == 1


CLOSED = """
import os, sys
from medmask.utils.command_line import command_line_tool

@command_line_tool
def main():
    print("a line")
    print("another one", file=sys.stderr)
    with open(sys.argv[1], "wb", buffering=0) as file:
        os.write(2, b"of a C library")
        file.write(b"work")
    return 3

main()
"""


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error_and_no_file_takes_their_place(tmp_path, closing):
    command = [sys.executable, "-c", CLOSED, tmp_path / "file"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", f'"$@" {closing}', "sh", *command], env=environment)
    assert done.returncode == 3
    assert (tmp_path / "file").read_bytes() == b"work"
