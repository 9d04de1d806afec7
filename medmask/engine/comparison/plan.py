"""The plan of a comparison: stages of training and their controls, judged by one benchmark.

A plan is a LazyConfig file with a dict ``benchmark``::

    benchmark = dict(
        test_dataset="phantom_ffdm_test",
        metric="froc/R@0.3",
        runs=dict(
            source_only=dict(config="source_only.py"),
            control=dict(config="control.py", start="source_only"),
            teaching=dict(config="teaching.py", start="source_only", controls=["control"],
                          model="teacher"),
        ),
    )
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medmask.config.loading import load_any_config
from medmask.errors import InputError

MODEL = "model"
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
    """no training: BatchNorm statistics are estimated anew on the images of this data set"""
    options: tuple[str, ...] = ()
    """``key=value`` settings of the config"""


@dataclass(frozen=True)
class Comparison:
    """Runs and the benchmark, a data set with a metric, that judges them."""

    test_dataset: str
    metric: str
    """name of a number in the results, such as ``froc/R@0.3``; higher is better"""
    runs: tuple[Run, ...]
    """each after the runs that it names"""

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


def load_comparison(path: str | os.PathLike) -> Comparison:
    """Read a plan; config files are looked for beside it.

    Raises:
        InputError: the file is missing, or a run names a file or a run that does not exist.
    """
    path = Path(path)
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
    return Comparison(plan["test_dataset"], plan["metric"], tuple(runs.values()))


def _check_fields(path: Path, plan: dict) -> None:
    """Check that a plan has the fields that it needs and no others."""
    for field, kind in (("test_dataset", str), ("metric", str), ("runs", dict)):
        if not isinstance(plan.get(field), kind) or not plan[field]:
            raise InputError(f"{path}: benchmark.{field} must be a {_KINDS[kind]}")
    unknown = plan.keys() - {"test_dataset", "metric", "runs"}
    if unknown:
        raise InputError(f"{path}: benchmark has the unknown field '{sorted(unknown, key=str)[0]}'")


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
        wrong_items = isinstance(value, list) and not all(isinstance(x, str) for x in value)
        if value is not None and (not isinstance(value, kinds[field]) or wrong_items):
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
