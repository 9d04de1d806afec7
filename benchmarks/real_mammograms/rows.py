"""The rows of the table: all seeds and folds of a method with a start."""

import functools
import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog

from medmask.data.breast import BreastFrame, read_breast_frames
from medmask.engine.comparison.summary import LearningSummary, summarize_learning
from medmask.errors import InputError
from medmask.evaluation import (
    Detections,
    GroundTruth,
    RelatedViews,
    combine_views,
    find_related_views,
    fuse_detections,
    ground_truth_of,
    read_detections,
)
from medmask.utils.counts import counted
from real_mammograms.cells import BENCHMARKS, METHODS, NUM_FOLDS, STARTS, Cell
from real_mammograms.order import Order, detections_file
from real_mammograms.pooling import pool
from real_mammograms.statistics import Samples, measure, patient_weights

VIEWS = "+views"
"""Added to the name of a method whose detections the views of an exam have changed."""


@dataclass(frozen=True)
class Row:
    """A method with a start, on a test."""

    method: str
    start: str
    test: str
    output: Path
    cells: Mapping[int, Sequence[Cell]]
    """seed -> its folds, or its only cell"""
    views: bool = False
    """whether the views of an exam change each other's scores"""

    @property
    def detections(self) -> str:
        """The method, and what was done to its detections."""
        return self.method + (VIEWS if self.views else "")

    @property
    def name(self) -> str:
        """The name of the row on the command line."""
        return f"{self.detections}/{self.start}"

    def facts(self) -> dict[str, Any]:
        """Seeds, and the means over trainings of minutes and steps."""
        records = [
            self.order(cell).read_record() for cells in self.cells.values() for cell in cells
        ]
        return {
            "method": self.detections,
            "start": self.start,
            "seeds": sorted(self.cells),
            "minutes": statistics.fmean(record["minutes"] for record in records),
            "steps": statistics.fmean(record["steps"] for record in records),
        }

    def learning(self) -> list[LearningSummary]:
        """Summarize over seeds what its stages have learned.

        Rows with folds, and records that tell nothing of it, have nothing.
        """
        learned = {
            seed: self.order(cells[0]).read_record().get("learning", {})
            for seed, cells in self.cells.items()
            if len(cells) == 1
        }
        return list(summarize_learning(learned))

    def order(self, cell: Cell) -> Order:
        """Make an order for a cell of the row, to read what its training has left."""
        return Order(cell, self.output, (self.test,), minutes=None)

    def load(self, seeds: Sequence[int]) -> tuple[GroundTruth, Detections]:
        """Ground truth, and what models of these seeds detect together; all folds pooled."""
        parts = []
        for cells in zip(*(self.cells[seed] for seed in seeds), strict=True):
            dataset = cells[0].test_set(self.test)
            truth = ground_truth_of(dataset)
            paths = [detections_file(self.output / cell.name, self.test) for cell in cells]
            detections = fuse_detections([read_detections(path, truth) for path in paths])
            parts.append((truth, in_exams(dataset, detections) if self.views else detections))
        return pool(parts)


def find_rows(
    output: Path, benchmark: str, label: str, test: str, seeds: Sequence[int] | None = None
) -> list[Row]:
    """Find what was tested.

    Args:
        output: the folder of all cells.
        benchmark: to look for.
        label: "lesion" or "malignant".
        test: of the benchmark.
        seeds: that count; None for all that are there.

    Raises:
        InputError: the benchmark has no such test, or some folds of a seed are missing.
    """
    Cell(benchmark, METHODS[0], STARTS[0], 0, label, 0).test_set(test)
    rows = []
    for start, method in itertools.product(STARTS, METHODS):
        cells = _find_cells(Cell(benchmark, method, start, 0, label), output, test, seeds)
        if cells:
            rows.append(Row(method, start, test, output, cells))
    return rows


def _find_cells(
    any_cell: Cell, output: Path, test: str, seeds: Sequence[int] | None
) -> dict[int, list[Cell]]:
    """The cells of a row that were tested, by their seed: of each fold, where there are folds."""
    folder = (output / any_cell.name).parent
    folds = range(NUM_FOLDS) if BENCHMARKS[any_cell.benchmark].has_folds else (None,)
    found = {}
    for seed in _seeds_in(folder, seeds):
        cells = [replace(any_cell, seed=seed, fold=fold) for fold in folds]
        tested = [cell for cell in cells if detections_file(output / cell.name, test).is_file()]
        if 0 < len(tested) < len(cells):
            raise InputError(
                f"{folder / f'seed{seed}'} has detections of {len(tested)} of {len(cells)} "
                "folds: finish them, or name other --seeds"
            )
        if tested:
            found[seed] = tested
    return found


def _seeds_in(folder: Path, seeds: Sequence[int] | None) -> list[int]:
    there = [
        int(path.name.removeprefix("seed"))
        for path in folder.glob("seed*")
        if path.name.removeprefix("seed").isdecimal()
    ]
    return sorted(seed for seed in there if seeds is None or seed in seeds)


def in_exams(dataset: str, detections: Detections) -> Detections:
    """The detections of a data set, with scores that the views of an exam have combined."""
    related, frames = _exams_of(dataset)
    return combine_views(detections, related, frames)


@functools.cache
def _exams_of(dataset: str) -> tuple[RelatedViews, list[BreastFrame | None]]:
    dataset_dicts = DatasetCatalog.get(dataset)
    return find_related_views(dataset_dicts), read_breast_frames(dataset_dicts, show_progress=True)


def measure_rows(
    rows: Sequence[Row], resamples: int, seed: int = 0, *, fuse_seeds: bool = False
) -> tuple[str, list[dict[int, Samples]]]:
    """Compute all metrics of all rows on the same resamples of the patients.

    Args:
        rows: to measure.
        resamples: of the patients.
        seed: of the resampling.
        fuse_seeds: measure what all seeds of a row detect together, instead of each.

    Returns:
        A sentence on what was tested on, and for each row the samples of each of its seeds; of
        fused ones, under the first.
    """
    samples, counts, weights = [], "", None
    for row in rows:
        of_seeds = {}
        for seeds in [list(row.cells)] if fuse_seeds else [[each] for each in row.cells]:
            truth, detections = row.load(seeds)
            if weights is None:
                weights = patient_weights(truth, resamples, seed)
                counts = (
                    f"{counted(truth.num_images, 'image')} of "
                    f"{counted(weights.shape[1], 'patient')}, "
                    f"{counted(truth.num_lesions, 'lesion')}"
                )
            of_seeds[seeds[0]] = measure(truth, detections, weights)
        samples.append(of_seeds)
    return counts, samples
