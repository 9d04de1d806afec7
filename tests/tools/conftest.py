"""Training runs as a user starts them: in processes of their own, killed, resumed, distributed."""

import contextlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import pytest
import torch
from forked_python import ForkedProcess, ForkedPython

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "lazyconfig_train_net.py"
COMPARING_TOOL = Path(__file__).with_name("train_and_compare.py")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")


def run_training_here(arguments: Sequence[object]) -> tuple[int, str, str]:
    """Run the training tool in this process, which saves the time of its imports.

    Returns:
        The status, and what went to stdout and stderr.
    """
    output, errors = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [str(TOOL), *map(str, arguments)]),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as stopped,
    ):
        runpy.run_path(str(TOOL), run_name="__main__")
    return stopped.value.code, output.getvalue(), errors.getvalue()


@pytest.fixture(name="run_training_here")
def run_training_here_fixture() -> Callable[[Sequence[object]], tuple[int, str, str]]:
    return run_training_here


def check_equal(a: object, b: object, where: str = "checkpoint") -> None:
    """Every tensor and number of two nested contents is the same."""
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        a, b = [list(a), *a.values()], [list(b), *b.values()]
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            check_equal(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


class TrainingRuns:
    """Short runs of the training tool on tiny phantoms.

    A command without an interpreter is a fork of ``forks``, which saves the time of its imports.
    """

    def __init__(self, datasets: Path, forks: ForkedPython):
        self._forks = forks
        self.environment = os.environ | {
            "DETECTRON2_DATASETS": str(datasets),
            "PYTHONPATH": str(ROOT),
        }

    def command(
        self,
        config: str,
        output: Path,
        *options: str,
        launcher: Sequence[str] = (),
        tool: Path = TOOL,
    ) -> list[str]:
        """The command line of a run of 12 iterations of a file in configs/medmask."""
        return [
            *launcher,
            str(tool),
            "--config-file",
            str(ROOT / "configs" / "medmask" / config),
            f"train.output_dir={output}",
            "train.device=cpu",
            "train.log_period=1",
            "train.eval_period=0",
            "train.max_iter=12",
            "train.checkpointer.period=5",
            "dataloader.train.total_batch_size=2",
            "dataloader.train.num_workers=0",
            "dataloader.test.num_workers=0",
            *options,
        ]

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        if command[0] != sys.executable:
            return self._forks.run(command, timeout=600, env=self.environment)
        return subprocess.run(
            command, capture_output=True, text=True, timeout=600, env=self.environment
        )

    def check_refusal(self, command: Sequence[str], words: str) -> None:
        """The command exits with status 2 and a sentence; run in this process, to save time."""
        with mock.patch.dict(os.environ, self.environment):
            status, output, errors = run_training_here(command[command.index(str(TOOL)) + 1 :])
        assert status == 2, errors
        assert words in errors
        assert "Traceback" not in output + errors

    def run_and_kill(self, command: Sequence[str], output: Path, iteration: int) -> None:
        """Start a run and kill it without warning once it has written ``iteration``."""
        process = self.start(command, start_new_session=True)
        self.wait_for_iteration(process, output, iteration)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"

    def start(self, command: Sequence[str], *, start_new_session: bool = False) -> ForkedProcess:
        """Start a command, a fork, whose output can be read."""
        return self._forks.start(command, env=self.environment, start_new_session=start_new_session)

    @staticmethod
    def wait_for_iteration(process: ForkedProcess, output: Path, iteration: int) -> None:
        """Wait until a run has written the metrics of an iteration."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and process.poll() is None:
            metrics = output / "metrics.json"
            if metrics.exists() and f'"iteration": {iteration},' in metrics.read_text():
                return
            time.sleep(0.01)
        process.kill()
        raise AssertionError(f"no iteration {iteration}: {process.communicate()}")

    def check_same(self, run: Path, other: Path) -> None:
        """Two runs left the same losses and, bit for bit, the same last checkpoint."""
        assert self.losses(run) == self.losses(other)
        last = [torch.load(x / "model_final.pth", weights_only=True) for x in (run, other)]
        check_equal(*last)

    def check_resume(
        self, config: str, folder: Path, *options: str, kill_at: int, resume_options=()
    ) -> None:
        """A run that is killed and resumed gives, bit for bit, what one without a stop gives.

        It is resumed in an interpreter of its own, whose sets are in another order.
        """
        whole, resumed = folder / "whole", folder / "resumed"
        done = self.run(self.command(config, whole, *options))
        assert done.returncode == 0, done.stderr
        command = self.command(config, resumed, *options)
        self.run_and_kill(command, resumed, kill_at)
        assert not (resumed / "model_final.pth").exists()
        again = self.run([sys.executable, *command, *resume_options, "--resume"])
        assert again.returncode == 0, again.stderr

        assert self.losses(resumed) == self.losses(whole)
        last = [torch.load(x / "model_final.pth", weights_only=True) for x in (whole, resumed)]
        assert last[0]["iteration"] == last[1]["iteration"]
        for key, value in last[0]["model"].items():
            assert torch.equal(value, last[1]["model"][key]), key

    def check_two_processes(
        self, config: str, folder: Path, *options: str, launchers: Sequence[str] = ("tests",)
    ) -> None:
        """Two processes train like one on the same global batch, and agree with each other.

        They are launched by ``torchrun``, by the tool itself (``num-gpus``) or by the ``tests``.
        """
        if torch.cuda.device_count() == 1:
            pytest.skip("two processes would share one GPU")
        one = folder / "one"
        done = self.run(self.command(config, one, *options))
        assert done.returncode == 0, done.stderr
        expected = self.losses(one)
        for launcher in launchers:
            two = folder / launcher
            self._train_in_two(launcher, self.command(config, two, *options, tool=COMPARING_TOOL))
            actual = self.losses(two)
            assert expected.keys() == actual.keys()
            for iteration, values in expected.items():
                assert actual[iteration] == pytest.approx(values, rel=2e-3, abs=1e-4), iteration
            checkpoint = torch.load(two / "model_final.pth", weights_only=True)
            assert len(checkpoint["random_states"]) == 2

    def _train_in_two(self, launcher: str, command: Sequence[str]) -> None:
        if launcher == "tests":
            self._forks.run_two(command, timeout=600, env=self.environment)
            return
        if launcher == "torchrun":
            command = [*TORCHRUN, "--nproc-per-node=2", *command]
        else:
            command = [*command, "--num-gpus=2"]
        done = self.run(command)
        assert done.returncode == 0, done.stderr
        assert "Grad strides" not in done.stderr, done.stderr  # a warning of no use to users

    @staticmethod
    def losses(output: Path) -> dict[int, dict[str, float]]:
        """{iteration: {name: value}} of a run."""
        lines = [json.loads(line) for line in (output / "metrics.json").read_text().splitlines()]
        return {x["iteration"]: {k: v for k, v in x.items() if "loss" in k} for x in lines}


@pytest.fixture(scope="session")
def training_runs(datasets, forked_python):
    return TrainingRuns(datasets, forked_python)
