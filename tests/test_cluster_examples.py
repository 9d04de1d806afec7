"""The jobs of docs/clusters, run by a shell as Slurm and Kubernetes do, with a command that tells
what it was called with."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from medmask.commands.predict import make_parser
from medmask.inference.options import Shard

FOLDER = Path(__file__).parents[1] / "docs" / "clusters"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.slurm"))
JOBS = sorted(path.name for path in FOLDER.glob("*.yaml"))
FAKE = f"""#!{sys.executable}
import json, sys
print(json.dumps(sys.argv[1:]))
"""


@pytest.fixture
def call(tmp_path):
    """Runs a command; returns the options that it gave to ``medmask predict``."""
    (tmp_path / "medmask").write_text(FAKE)
    (tmp_path / "medmask").chmod(0o755)

    def run(command, **environment):
        result = subprocess.run(
            command,
            env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"} | environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        subcommand, *options = json.loads(result.stdout)
        assert subcommand == "predict"
        return make_parser().parse_args(options)

    return run


def read_job(name):
    job = yaml.safe_load((FOLDER / name).read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return job["spec"], container


def test_all_are_tested():
    assert SCRIPTS == ["merge_archive.slurm", "predict_archive.slurm"]
    assert JOBS == ["merge_archive.yaml", "predict_archive.yaml"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_say_what_they_need(name):
    assert subprocess.run(["bash", "-n", FOLDER / name]).returncode == 0
    result = subprocess.run(["bash", FOLDER / name], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("usage: sbatch")


def test_slurm_array_predicts_on_shards(call):
    script = FOLDER / "predict_archive.slurm"
    tasks, cores = (
        re.search(pattern, script.read_text()).group(1)
        for pattern in (r"--array=1-(\d+)\n", r"--cpus-per-task=(\d+)\n")
    )
    args = call(
        ["bash", script, "an archive.parquet", "model.pth", "out"],
        SLURM_ARRAY_TASK_ID="3",
        SLURM_ARRAY_TASK_COUNT=tasks,
        SLURM_CPUS_PER_TASK=cores,
    )
    assert args.inputs == ["an archive.parquet"]
    assert (args.checkpoint, args.output) == (Path("model.pth"), Path("out"))
    assert (args.shard, args.workers) == (Shard(3, int(tasks)), int(cores) - 1)


def test_slurm_job_merges(call):
    args = call(["bash", FOLDER / "merge_archive.slurm", "out"])
    assert (args.merge, args.output, args.inputs) == (True, Path("out"), [])


def test_kubernetes_job_predicts_on_shards(call):
    spec, container = read_job("predict_archive.yaml")
    assert spec["completionMode"] == "Indexed"
    shards = [
        call([*container["command"], *container["args"]], JOB_COMPLETION_INDEX=str(index)).shard
        for index in range(spec["completions"])
    ]
    assert shards == [Shard(number, len(shards)) for number in range(1, len(shards) + 1)]
    args = call([*container["command"], *container["args"]], JOB_COMPLETION_INDEX="0")
    assert container["resources"]["limits"]["cpu"] == args.workers + 1
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    for path in (args.inputs[0], str(args.checkpoint), str(args.output)):
        assert f"/{path.split('/')[1]}" in mounted


def test_kubernetes_job_merges(call):
    _, container = read_job("merge_archive.yaml")
    args = call([*container["command"], *container["args"]])
    _, predict = read_job("predict_archive.yaml")
    assert args.merge
    assert f"--output {args.output}" in predict["args"][0]
