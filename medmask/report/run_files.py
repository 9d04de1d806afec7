"""Reading what runs of training and evaluation leave in their folders."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from medmask.config.own_datasets import register_own_datasets
from medmask.config.yaml_files import read_config_yaml
from medmask.engine.learning import PREFIX
from medmask.engine.progress import METRICS_FILE
from medmask.engine.run_folder import CONFIG, EVALUATION_PREFIX
from medmask.errors import InputError
from medmask.evaluation.settings import EvaluationSettings
from medmask.utils.json_files import read_json

Values = dict[str, float]
"""Numbers by their names, of one iteration where ``iteration`` is among them; NaN is undefined"""

DETECTIONS = "inference/froc_detections.json"
_SETTINGS = "inference/froc.json"
_SIGNS = (METRICS_FILE, "evaluations.json", "evaluation.json", DETECTIONS)


@dataclass(frozen=True)
class RunFiles:
    """Content of the folder of a run, or of the folder in it of another model that it gave.

    Attributes:
        path: the folder.
        label: short, and different for each run of a report.
        home: the folder of the run.
        model: name of the other model, such as ``teacher``; "" for the trained one.
        metrics: of single iterations while training, in their order.
        evaluations: of the model while training, in their order; those of the trained one hold
            results of others, too.
        evaluation: results of the last one, or of ``--eval-only`` where that came later.
        config: of what the detections come from, None if it is gone.
        ambiguous_datasets: names of its data sets that mean other files in another run or config.
        config_text: its file, "" if it is gone.
        versions: of packages, by their names.
        detections: the file, None if there is none.
        calibration: the file, None if there is none.
    """

    path: Path
    label: str
    home: Path
    model: str
    metrics: tuple[Values, ...]
    evaluations: tuple[Values, ...]
    evaluation: Values
    config: DictConfig | None
    ambiguous_datasets: frozenset[str]
    config_text: str
    versions: dict[str, str]
    detections: Path | None
    calibration: Path | None

    @property
    def weights(self) -> Path | None:
        """The best weights of the model that are there, else the last; None if there are none."""
        name = self.model or "model"
        named = (self.home / f"{name}_best.pth", self.home / f"{name}_final.pth")
        while_training = sorted(self.home.glob(f"{name}_[0-9]*.pth"), reverse=True)
        return next((path for path in (*named, *while_training) if path.is_file()), None)

    def other_models(self) -> list[Path]:
        """Folders of the other models that the run has evaluated, each of which is a run, too."""
        names = {name.partition("/")[0] for name in self.evaluation if name.count("/") > 1}
        folders = (self.path / name for name in sorted(names) if f"{name}/" != PREFIX)
        return [folder for folder in folders if (folder / DETECTIONS).exists()]

    def datasets(self, part: str) -> tuple[str, ...]:
        """The data sets that the config names for ``dataloader.train`` or another part."""
        if self.config is None:
            return ()
        try:
            told = OmegaConf.select(self.config, f"{part}.dataset")
            names = list(told) if isinstance(told, ListConfig) else [told]
        except Exception:  # a reference that leads nowhere
            return ()
        return tuple(name for name in names if isinstance(name, str) and name != "???")

    def dataset(self, part: str) -> str | None:
        """The only data set of a part; None if the config names none, or several."""
        names = self.datasets(part)
        return names[0] if len(names) == 1 else None

    def evaluation_settings(self) -> EvaluationSettings:
        """Settings of the evaluation that wrote the detections; the defaults if none are told.

        Raises:
            InputError: the file has settings that no evaluation has.
        """
        path = self.path / _SETTINGS
        if not path.exists():
            return EvaluationSettings()
        content = read_json(path, "evaluation")
        try:
            told = dict(content["settings"])
            points = {"operating_points": tuple(told["operating_points"])}
            return EvaluationSettings(**{**told, **points})
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(
                f"evaluation {path} has no settings of an evaluation ({error}): delete it to "
                "report with the default ones, or evaluate again"
            ) from None


def read_runs(folders: Sequence[str | os.PathLike]) -> list[RunFiles]:
    """Read the folders of runs.

    Raises:
        InputError: one holds no run, is named twice, or has a broken file.
    """
    paths = [Path(folder) for folder in folders]
    real = [os.path.realpath(path) for path in paths]
    for path, place in zip(paths, real, strict=True):
        if real.count(place) > 1:
            raise InputError(f"the run {path} is named twice: name each run once")
    return [_read_run(*each) for each in zip(paths, run_labels(paths), strict=True)]


def run_labels(paths: Sequence[Path]) -> list[str]:
    """Name runs by the fewest last folders of their paths that tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(each[-count:]) for each in parts]
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in paths]


def _read_run(path: Path, label: str) -> RunFiles:
    if not path.is_dir():
        raise InputError(f"the run {path} is no folder: name the train.output_dir of a run")
    if not any((path / sign).exists() for sign in _SIGNS):
        raise InputError(
            f"{path} holds no run (none of {', '.join(_SIGNS)}): name the train.output_dir of a "
            "run of medmask train"
        )
    home, model = _find_home(path)
    evaluations = _of_model(model, _read_evaluations(home / "evaluations.json"))
    prefix = EVALUATION_PREFIX if _is_evaluated_later(path) else ""
    evaluation = evaluations[-1] if evaluations else {}
    if (path / "evaluation.json").exists() and (prefix or not evaluations):
        content = read_json(path / "evaluation.json", "evaluation")
        evaluation = _numbers(content, f"evaluation {path / 'evaluation.json'}")
    config_path = home / f"{prefix}{CONFIG}"
    config, ambiguous_datasets = None, []
    if config_path.exists():
        config = read_config_yaml(config_path, any_target=True)
        ambiguous_datasets = register_own_datasets(config, config_path, may_differ=True)
    return RunFiles(
        path=path,
        label=label,
        home=home,
        model=model,
        metrics=_read_metrics(home / METRICS_FILE),
        evaluations=evaluations,
        evaluation=evaluation,
        config=config,
        ambiguous_datasets=frozenset(ambiguous_datasets),
        config_text="" if config is None else config_path.read_text(encoding="utf-8"),
        versions=_read_versions(home / f"{prefix}versions.json"),
        detections=_if_there(path / DETECTIONS),
        calibration=_if_there(home / "calibration.json"),
    )


def _find_home(path: Path) -> tuple[Path, str]:
    """Find the folder of the run, and the name of the model where ``path`` is that of another."""
    if any((path / sign).exists() for sign in (CONFIG, *_SIGNS[:-1])):
        return path, ""
    place = path.resolve() if path.name in ("", "..") else path
    name, home = place.name, place.parent
    known = _read_evaluations(home / "evaluations.json")
    is_model = any(each.startswith(f"{name}/") for values in known for each in values)
    return (home, name) if is_model and f"{name}/" != PREFIX else (path, "")


def _of_model(model: str, evaluations: Sequence[Values]) -> tuple[Values, ...]:
    """Keep the results of a model, by the names that those of the trained one have."""
    if not model:
        return tuple(evaluations)
    return tuple(
        {
            name.removeprefix(f"{model}/"): value
            for name, value in values.items()
            if name == "iteration" or name.startswith((f"{model}/", PREFIX))
        }
        for values in evaluations
    )


def _is_evaluated_later(path: Path) -> bool:
    """True if ``--eval-only`` has left the detections of a folder in which there was a training."""
    later, earlier = path / "evaluation.json", path / "evaluations.json"
    if not (later.exists() and (path / f"{EVALUATION_PREFIX}{CONFIG}").exists()):
        return False
    return not earlier.exists() or later.stat().st_mtime >= earlier.stat().st_mtime


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def _read_metrics(path: Path) -> tuple[Values, ...]:
    """The lines of a metrics file; the last may be cut off, as of a run that was killed."""
    if not path.exists():
        return ()
    if not path.is_file():  # to open a pipe would wait for its other end
        raise InputError(
            f"metrics {path} are not a file, but a folder, a pipe or a device: remove it to go on "
            "without them"
        )
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    values = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(_numbers(json.loads(line), f"{path}, line {number}", "iteration"))
        except (ValueError, RecursionError):
            if number < len(lines):
                raise InputError(
                    f"{path}, line {number} is no JSON object: delete the line to go on without it"
                ) from None
    return tuple(sorted(values, key=lambda each: each["iteration"]))


def _read_evaluations(path: Path) -> tuple[Values, ...]:
    if not path.exists():
        return ()
    content = read_json(path, "list of evaluations")
    if not isinstance(content, list):
        raise InputError(f"{path} is no list of evaluations: delete it to go on without them")
    values = [_numbers(each, f"list of evaluations {path}", "iteration") for each in content]
    return tuple(sorted(values, key=lambda each: each["iteration"]))


def _numbers(content: Any, what: str, needed: str | None = None) -> Values:
    """The numbers of a JSON object; null, which stands for an undefined one, becomes NaN."""
    if not isinstance(content, dict):
        raise InputError(f"{what} is no JSON object of numbers: write the file again")
    values = {}
    for name, value in content.items():
        if value is None:
            values[name] = math.nan
        elif isinstance(value, int | float) and not isinstance(value, bool):
            values[name] = float(value) if abs(value) < 1e300 else math.nan
    if needed is not None and not math.isfinite(values.get(needed, math.nan)):
        raise InputError(f"{what} has no number {needed!r}: write the file again")
    return values


def _read_versions(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    content = read_json(path, "versions")
    if not isinstance(content, dict):
        raise InputError(f"versions {path} are no JSON object: delete the file to go on without it")
    return {name: str(version) for name, version in content.items()}
