"""The result of one run: reading it if it is there, and making it."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from medmask.engine.comparison.plan import MODEL, Run
from medmask.engine.comparison.run_config import RunConfigs, used_values
from medmask.engine.evaluation_hook import results_of
from medmask.engine.learning import PREFIX
from medmask.engine.versions import START_WEIGHTS, VERSIONS, read_versions
from medmask.errors import InputError
from medmask.utils.file_hash import hash_if_there
from medmask.utils.json_files import finite_values, read_json, write_json

RESULT = "result.json"
LOG = "benchmark_log.txt"
_TIME = "benchmark_minutes.json"


@dataclass(frozen=True)
class RunResult:
    """Results of one run at one seed."""

    metrics: dict[str, float | None]
    """those of the model that counts, and ``learning/...``, the last measures of each stage"""
    minutes: float
    """of this machine, for training and evaluation, all calls together; those of a call that was
    killed with the runner are not known"""
    start_sha256: str | None = None
    """of the weights that it started from; None if it started from no other run, or is not known"""
    labeled_images: int | None = None
    """seen in all its steps; 0 where no loss is of labels, None where it is not known"""


Results = dict[str, dict[int, RunResult]]
"""name of the run -> seed -> result"""


def read_result(
    run: Run, folder: Path, settings: Sequence[str], configs: RunConfigs
) -> RunResult | None:
    """Read the result that a run has left.

    Args:
        run: as the plan has it now.
        folder: of the run.
        settings: that the run would be called with now.
        configs: of the runs, as their files are now.

    Returns:
        None if it has left none.

    Raises:
        InputError: it was made with another config or other settings, of another model or from
            another start, or its config has changed since; or it is no result.
    """
    file = folder / RESULT
    if not file.exists():
        return None
    content = read_json(file, "result")
    if not _is_result(content):
        raise InputError(
            f"{file} is no result of this version: delete it to run again, or choose another "
            "--output"
        )
    before = content["settings"]
    if before != list(settings):
        raise InputError(
            f"{file} was made with {' '.join(before)}, not with {' '.join(settings)}: ask for the "
            "same, or choose another --output"
        )
    for field, now in _identity(run).items():
        # older results do not tell
        if (told := content.get(field, now)) != now:
            raise InputError(
                f"{file} was made with {field} {told!r} in the plan, not with {now!r}: delete its "
                "folder to run again, or choose another --output"
            )
    if differences := configs.differences(run, settings, content.get("config_values")):
        raise InputError(
            f"{file} was made before {run.config} changed: {'; '.join(differences)}; delete its "
            "folder to run again, or choose another --output"
        )
    return RunResult(
        content["metrics"],
        float(content["minutes"]),
        content.get("start_sha256"),
        _labeled_images(run, content.get("config_values")),
    )


def check_start(
    result: RunResult, folder: Path, weights: Path | None, *, is_due: bool = False
) -> None:
    """Refuse a result of a run whose start was trained again since, or would be.

    Args:
        result: of the run; one that does not tell its start is taken.
        folder: of the run.
        weights: of its start; None if it starts from no other run.
        is_due: True if the start will be trained where its weights are gone.

    Raises:
        InputError: it was.
    """
    if weights is None or result.start_sha256 is None:
        return
    now = hash_if_there(weights)
    is_other = is_due if now is None else now != result.start_sha256
    if is_other:
        when = "is to be trained again" if now is None else "was trained again since"
        raise InputError(
            f"{folder / RESULT} does not go with {weights}, as its start {when}: delete its folder "
            "to run again, or choose another --output"
        )


def _is_result(content: Any) -> bool:
    """Tell whether a file holds what :func:`complete_run` writes."""
    if not isinstance(content, dict):
        return False
    metrics, settings = content.get("metrics"), content.get("settings")
    return (
        isinstance(metrics, dict)
        and all(value is None or _is_number(value) for value in metrics.values())
        and _is_number(content.get("minutes"))
        and isinstance(settings, list)
        and all(isinstance(setting, str) for setting in settings)
        and isinstance(content.get("config_values"), dict | None)
        and isinstance(content.get("start_sha256"), str | None)
    )


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def complete_run(
    run: Run, folder: Path, settings: Sequence[str], call: Callable[[IO], int]
) -> RunResult:
    """Do a run, or what an interrupted one has left to do.

    Args:
        run: what to do.
        folder: of the run; gets its log and its result.
        settings: that decide on the result, to be kept beside it.
        call: does it, printing to the log, and returns the exit status.

    Raises:
        InputError: it failed, which names the log, or gives no model that counts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    minutes = _minutes_before(folder)
    start = time.monotonic()
    try:
        with open(folder / LOG, "a") as log:
            status = call(log)
    finally:
        minutes += (time.monotonic() - start) / 60
        write_json(folder / _TIME, minutes)
    if status:
        raise InputError(f"run {run.name} failed with status {status}; see {folder / LOG}")
    metrics = _metrics(folder, run)
    start_sha256 = _start_sha256(run, folder)
    content = {"metrics": metrics, "minutes": minutes, "settings": list(settings)}
    content |= _identity(run) | {"start_sha256": start_sha256}
    values = used_values(run, folder)
    write_json(folder / RESULT, content | {"config_values": values})
    return RunResult(metrics, minutes, start_sha256, _labeled_images(run, values))


def _labeled_images(run: Run, config_values: dict[str, Any] | None) -> int | None:
    """Steps times images in each, as the run's config has them."""
    values = config_values or {}
    weights = [values.get(f"model.criterion.{name}_weight") for name in ("class", "box", "giou")]
    if run.adapt_batchnorm or weights == [0, 0, 0]:
        return 0
    steps, images = values.get("train.max_iter"), values.get("dataloader.train.total_batch_size")
    return steps * images if type(steps) is int and type(images) is int else None


def _start_sha256(run: Run, folder: Path) -> str | None:
    """Read which weights the run has started from; its start may have been trained again since."""
    return None if run.start is None else read_versions(folder / VERSIONS).get(START_WEIGHTS)


def _identity(run: Run) -> dict[str, str | None]:
    """Fields of a run in its plan that decide on its result, besides its settings.

    Of the config the name alone: its path depends on the folder that the tool is called in.
    """
    return {
        "config": run.config.name,
        "model": run.model,
        "start": run.start,
        "adapt_batchnorm": run.adapt_batchnorm,
    }


def _minutes_before(folder: Path) -> float:
    """Minutes of calls that were interrupted."""
    file = folder / _TIME
    minutes = read_json(file, "time") if file.exists() else 0.0
    if not _is_number(minutes):
        raise InputError(f"{file} holds no number of minutes: delete it to count anew")
    return float(minutes)


def _metrics(folder: Path, run: Run) -> dict[str, Any]:
    """Read the numbers of the last evaluation, and what the stages have learned."""
    file = folder / ("evaluation.json" if run.adapt_batchnorm else "evaluations.json")
    if not file.exists():
        raise InputError(
            f"run '{run.name}' has left no {file}: its config needs a data set and an evaluator to "
            "test on (dataloader.test, dataloader.evaluator)"
        )
    content = read_json(file, "results")
    if run.adapt_batchnorm:
        return content
    last = results_of(content[-1])
    prefix = "" if run.model == MODEL else f"{run.model}/"
    metrics = {k.removeprefix(prefix): v for k, v in last.items() if k.startswith(prefix)}
    if not metrics:
        raise InputError(
            f"run '{run.name}' was evaluated without a model '{run.model}', which counts by the "
            f"plan; {file} has {', '.join(last)}"
        )
    return metrics | _learning(folder)


def _learning(folder: Path) -> dict[str, float | None]:
    """Read the last measures of each stage; one that has ended is not in the last evaluation."""
    found: dict[str, float | None] = {}
    file = folder / "metrics.json"
    if file.exists():
        for line in file.read_text().splitlines():
            values = json.loads(line)
            found |= {name: x for name, x in values.items() if name.startswith(PREFIX)}
    return finite_values(found)
