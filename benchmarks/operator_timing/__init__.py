"""Timing implementations of deformable attention; see benchmarks/op.py."""

from operator_timing.implementations import implementations
from operator_timing.measure import TOLERANCES, Candidate, measure
from operator_timing.problems import ENTRIES, SHAPES, Problem, random_problem
from operator_timing.roofline import Machine, measure_machine, roofline

__all__ = [
    "ENTRIES",
    "SHAPES",
    "TOLERANCES",
    "Candidate",
    "Machine",
    "Problem",
    "implementations",
    "measure",
    "measure_machine",
    "random_problem",
    "roofline",
]
