"""Timing implementations of deformable attention; see tools/benchmark_op.py."""

from medmask.layers.benchmark.floor import Machine, floor_of, measure_machine
from medmask.layers.benchmark.implementations import implementations
from medmask.layers.benchmark.measure import TOLERANCES, Candidate, measure
from medmask.layers.benchmark.problems import ENTRIES, SHAPES, Problem, random_problem

__all__ = [
    "ENTRIES",
    "SHAPES",
    "TOLERANCES",
    "Candidate",
    "Machine",
    "Problem",
    "floor_of",
    "implementations",
    "measure",
    "measure_machine",
    "random_problem",
]
