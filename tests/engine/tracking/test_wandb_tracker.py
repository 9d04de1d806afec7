"""Offline runs of the real wandb, whose files are read back."""

import json
import struct
import time
from pathlib import Path

import pytest

from medmask.engine.tracking.tracked_run import TrackedRun
from medmask.engine.tracking.wandb_tracker import WandbTracker

BLOCK = 32768
HEADER = struct.Struct("<IHB")  # check sum, length, kind
FULL, FIRST, LAST = 1, 2, 4


def read_records(path):
    """Read the records of a file of wandb, a log of LevelDB behind seven bytes of its own."""
    from wandb.proto import wandb_internal_pb2

    data, position, record = path.read_bytes(), 7, b""
    while position + HEADER.size <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER.size:
            position += left
            continue
        _, length, kind = HEADER.unpack_from(data, position)
        position += HEADER.size
        if position + length > len(data):
            return  # it is being written
        chunk = data[position : position + length]
        record = chunk if kind in (FULL, FIRST) else record + chunk
        if kind in (FULL, LAST):
            yield wandb_internal_pb2.Record.FromString(record)
        position += length


def read_whole_run(path):
    """Wait for the last record: wandb's own process may still write when the run is closed."""
    deadline = time.monotonic() + 60
    while "exit" not in (kinds := [x.WhichOneof("record_type") for x in read_records(path)]):
        assert time.monotonic() < deadline, f"the run ends with {kinds[-1:]}"
        time.sleep(0.1)
    return read_run(path)


def read_run(path):
    """Read the run, its config, its history by step and its exit status."""
    config, history, status = {}, {}, None
    for record in read_records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            config |= {x.key: json.loads(x.value_json) for x in run.config.update}
        elif kind == "history":
            items = {x.nested_key[-1]: json.loads(x.value_json) for x in record.history.item}
            history[items["_step"]] = {k: v for k, v in items.items() if not k.startswith("_")}
        elif kind == "exit":
            status = record.exit.exit_code
    return run, config, history, status


def track(folder, start, stop, finished):
    config = {"train": {"seed": 3, "max_iter": stop}}
    tracker = WandbTracker("breasts", None, None, "offline")
    tracker.check()
    tracker.open(TrackedRun("0123456789abcdef", folder, config, {"torch": "2.11"}))
    for iteration in range(start, stop):
        tracker.log({"total_loss": iteration / 4, "froc/R@0.3": 0.5}, iteration)
    tracker.close(finished)


def test_offline_runs_hold_metrics_config_versions_and_nothing_of_the_machine(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    for start, stop, finished in ((0, 3, False), (3, 5, True)):
        track(tmp_path, start, stop, finished)
        newest = (tmp_path / "wandb" / "latest-run").resolve()
        (path,) = newest.glob("*.wandb")
        run, config, history, status = read_whole_run(path)
        assert newest.name.startswith("offline-run-")
        assert (run.run_id, run.project) == ("0123456789abcdef", "breasts")
        assert run.display_name == str(tmp_path)
        assert history == {i: {"total_loss": i / 4, "froc/R@0.3": 0.5} for i in range(start, stop)}
        assert config["train"] == {"seed": 3, "max_iter": stop}
        assert config["versions"] == {"torch": "2.11"}
        assert Path(config["output_dir"]) == tmp_path
        assert status == (0 if finished else 1)
        assert not run.host
        assert not run.git.remote_url
        assert not run.git.commit
        assert not list((newest / "files").iterdir())  # no requirements, no metadata, no output
