"""Stages of training compared with their controls, over several seeds."""

from medmask.engine.comparison.plan import Comparison, Run, load_comparison
from medmask.engine.comparison.run_result import RunResult
from medmask.engine.comparison.runner import read_results, run_comparison
from medmask.engine.comparison.table import write_tables

__all__ = [
    "Comparison",
    "Run",
    "RunResult",
    "load_comparison",
    "read_results",
    "run_comparison",
    "write_tables",
]
