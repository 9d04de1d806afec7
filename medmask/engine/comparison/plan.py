"""The plan of a comparison: stages of training and their controls, judged by one benchmark.

A plan is a LazyConfig file with a dict ``benchmark``::

    benchmark = dict(
        test_dataset="phantom_ffdm_test",
        metric="froc/R@0.3",
        runs=dict(
            source_only=dict(config="source_only.py", model="average"),
            control=dict(config="control.py", start="source_only", model="average"),
            teaching=dict(config="teaching.py", start="source_only", controls=["control"],
                          model="teacher"),
        ),
    )

A run and its controls count the same kind of weights: an average of weights is better than the last
ones by itself, so a teacher is compared with controls whose average counts (``model="average"`` and
a WeightAveragingHook), never with the last weights of one.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medmask.config.loading import load_any_config
from medmask.errors import InputError

MODEL = "model"
CPM = "froc/CPM"
_PERCENTAGES = ("froc/", "bbox/")
"""groups of metrics that this project's evaluators give in percent"""
_KINDS: dict[type, str] = {str: "text", list: "list of texts", dict: "dict that is not empty"}


@dataclass(frozen=True)
class Run:
    """One run of the training tool; a row of the table."""

    name: str
    config: Path
    """a config file for the training tool"""
    start: str | None = None
    """the run whose last weights it starts from"""
    controls: tuple[str, ...] = ()
    """the runs that it is compared with: as many steps, without (part of) what the run adds"""
    model: str = MODEL
    """the model whose results count: the trained one, or another that the stage gives"""
    adapt_batchnorm: str | None = None
    """no training: BatchNorm statistics of the start's model that counts are estimated anew on the
    images of this data set"""
    options: tuple[str, ...] = ()
    """``key=value`` settings of the config"""


@dataclass(frozen=True)
class Comparison:
    """Runs and the benchmark, a data set with a metric, that judges them."""

    test_dataset: str
    metric: str
    """name of a number in the results, such as ``froc/R@0.3``; higher is better"""
    beside: tuple[str, ...]
    """other metrics that are shown and compared in the same way"""
    runs: tuple[Run, ...]
    """each after the runs that it names"""

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics, the one that judges first."""
        return (self.metric, *self.beside)

    def __getitem__(self, name: str) -> Run:
        """The run of this name."""
        return next(run for run in self.runs if run.name == name)

    def shared_start(self, run: Run, control: Run) -> str | None:
        """Name the last run that both come from, which may be the control itself.

        Returns:
            None if there is none: then only the seed is shared, and with it the order of images.
        """
        origins = [each.name for each in self.origins(control)]
        names = (each.name for each in self.origins(run))
        return next((name for name in names if name in origins), None)

    def counts_an_average(self, run: Run) -> bool:
        """Tell whether an average of weights counts; AdaBN has the weights of its start."""
        while run.adapt_batchnorm and run.start is not None:
            run = self[run.start]
        return run.model != MODEL

    def origins(self, run: Run) -> Iterator[Run]:
        """The run, the one that it starts from, and so on."""
        yield run
        while run.start is not None:
            run = self[run.start]
            yield run

    def restricted_to(self, names: Sequence[str]) -> "Comparison":
        """Reduce to the runs of these names, those that they start from and their controls.

        Raises:
            InputError: there is no such run.
        """
        known = {run.name: run for run in self.runs}
        wanted, queue = set(), list(names)
        while queue:
            name = queue.pop()
            if name not in known:
                raise InputError(f"the plan has no run '{name}'; it has {', '.join(known)}")
            wanted.add(name)
            needs = (known[name].start, *known[name].controls)
            queue += [other for other in needs if other is not None and other not in wanted]
        return replace(self, runs=tuple(run for run in self.runs if run.name in wanted))


def is_percentage(metric: str) -> bool:
    """Tell whether a metric is in percent; what stages have learned, say, is in shares."""
    return metric.startswith(_PERCENTAGES)


def short_name(metric: str) -> str:
    """The last part of a metric's name, as tables and pictures show it."""
    return metric.rsplit("/", 1)[-1]


def load_comparison(path: str | os.PathLike) -> Comparison:
    """Read a plan; config files are looked for beside it.

    Raises:
        InputError: the file is missing, or a run names a file or a run that does not exist.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"plan {path} does not exist, or is no file")
    plan = OmegaConf.select(load_any_config(path), "benchmark")
    if isinstance(plan, DictConfig):
        plan = OmegaConf.to_container(plan)
    if not isinstance(plan, dict):
        raise InputError(f"{path} defines no dict `benchmark`")
    _check_fields(path, plan)
    runs: dict[str, Run] = {}
    for name, fields in plan["runs"].items():
        run = _read_run(path, name, fields)
        for other in (run.start, *run.controls):
            if other is not None and other not in runs:
                raise InputError(f"{path}: run '{name}' names '{other}', which is no run before it")
        if run.adapt_batchnorm and run.start is None:
            raise InputError(f"{path}: run '{name}' adapts BatchNorm and so needs a start")
        runs[name] = run
    beside = plan.get("beside")
    if beside is None:
        beside = [CPM] if plan["metric"].startswith("froc/") and plan["metric"] != CPM else []
    comparison = Comparison(
        plan["test_dataset"], plan["metric"], tuple(beside), tuple(runs.values())
    )
    _check_averages(path, comparison)
    return comparison


def _check_averages(path: Path, comparison: Comparison) -> None:
    """Check that no run is compared with one that differs from it by averaging, too."""
    for run in comparison.runs:
        for name in run.controls:
            averages = {run.name: comparison.counts_an_average(run)}
            averages[name] = comparison.counts_an_average(comparison[name])
            if len(set(averages.values())) == 2:
                with_average, without = sorted(averages, key=averages.__getitem__, reverse=True)
                raise InputError(
                    f"{path}: run '{run.name}' cannot be compared with '{name}': an average of "
                    f"weights counts of '{with_average}'; let one count of '{without}', too, by a "
                    'WeightAveragingHook and model="average"'
                )


def _check_fields(path: Path, plan: dict) -> None:
    """Check that a plan has the fields that it needs and no others."""
    for field, kind in (("test_dataset", str), ("metric", str), ("runs", dict)):
        if not isinstance(plan.get(field), kind) or not plan[field]:
            raise InputError(f"{path}: benchmark.{field} must be a {_KINDS[kind]}")
    if not _is_list_of_texts(plan.get("beside") or []):
        raise InputError(f"{path}: benchmark.beside must be a list of texts, names of metrics")
    unknown = plan.keys() - {"test_dataset", "metric", "beside", "runs"}
    if unknown:
        raise InputError(f"{path}: benchmark has the unknown field '{sorted(unknown, key=str)[0]}'")


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _read_run(path: Path, name: str, fields: Any) -> Run:
    """Build a run of a plan from its fields."""
    where = f"{path}: run '{name}'"
    # The name is that of a folder.
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"{where} must be named by letters, digits, '_', '-' and '.'")
    if not isinstance(fields, dict):
        raise InputError(f"{where} must be a dict")
    kinds: dict[str, type] = {"config": str, "start": str, "controls": list, "model": str}
    kinds |= {"adapt_batchnorm": str, "options": list}
    for field, value in fields.items():
        if field not in kinds:
            raise InputError(
                f"{where} has the unknown field '{field}'; it may have {', '.join(kinds)}"
            )
        is_right = isinstance(value, str) if kinds[field] is str else _is_list_of_texts(value)
        if value is not None and not is_right:
            raise InputError(f"{where}: {field} must be a {_KINDS[kinds[field]]}")
    if not fields.get("config"):
        raise InputError(f"{where} has no config")
    given: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in fields.items() if v is not None
    }
    # A page's relative imports are resolved from its path as it is written, "..", too.
    given["config"] = Path(os.path.normpath(path.parent / fields["config"]))
    run = Run(name, **given)
    if not run.config.is_file():
        raise InputError(f"{where} names {run.config}, which does not exist")
    return run
