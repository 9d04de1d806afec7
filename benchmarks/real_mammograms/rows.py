"""The rows of the table: all seeds and folds of a method with a start."""

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medmask.errors import InputError
from medmask.evaluation import (
    Detections,
    GroundTruth,
    fuse_detections,
    ground_truth_of,
    read_detections,
)
from real_mammograms.cells import BENCHMARKS, METHODS, NUM_FOLDS, STARTS, Cell
from real_mammograms.order import RECORD, detections_file
from real_mammograms.pooling import pool
from real_mammograms.statistics import Samples, measure, patient_weights


@dataclass(frozen=True)
class Row:
    """A method with a start, on a test."""

    method: str
    start: str
    test: str
    output: Path
    cells: Mapping[int, Sequence[Cell]]
    """seed -> its folds, or its only cell"""

    @property
    def name(self) -> str:
        """The name of the row on the command line."""
        return f"{self.method}/{self.start}"

    def facts(self) -> dict[str, Any]:
        """Seeds, and the means over trainings of minutes and steps."""
        records = [
            json.loads((self.output / cell.name / RECORD).read_text(encoding="utf-8"))
            for cells in self.cells.values()
            for cell in cells
        ]
        return {
            "method": self.method,
            "start": self.start,
            "seeds": sorted(self.cells),
            "minutes": statistics.fmean(record["minutes"] for record in records),
            "steps": statistics.fmean(record["steps"] for record in records),
        }

    def load(self, seed: int) -> tuple[GroundTruth, Detections]:
        """Ground truth and detections of a seed, those of all folds pooled."""
        parts = []
        for cell in self.cells[seed]:
            truth = ground_truth_of(cell.test_set(self.test))
            path = detections_file(self.output / cell.name, self.test)
            parts.append((truth, read_detections(path, truth)))
        return pool(parts)

    def load_fused(self) -> tuple[GroundTruth, Detections]:
        """Ground truth, and the detections of all seeds fused to those of one model."""
        loaded = [self.load(seed) for seed in self.cells]
        return loaded[0][0], fuse_detections([detections for _, detections in loaded])


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
    folds = range(NUM_FOLDS) if BENCHMARKS[benchmark].has_folds else (None,)
    rows = []
    for start in STARTS:
        for method in METHODS:
            any_cell = Cell(benchmark, method, start, 0, label)
            folder = (output / any_cell.name).parent
            found: dict[int, list[Cell]] = defaultdict(list)
            for seed in _seeds_in(folder, seeds):
                for fold in folds:
                    cell = Cell(benchmark, method, start, seed, label, fold)
                    if detections_file(output / cell.name, test).is_file():
                        found[seed].append(cell)
            for seed, cells in found.items():
                if len(cells) < len(folds):
                    raise InputError(
                        f"{folder / f'seed{seed}'} has detections of {len(cells)} of {len(folds)} "
                        "folds: finish them, or name other --seeds"
                    )
            if found:
                rows.append(Row(method, start, test, output, dict(found)))
    return rows


def _seeds_in(folder: Path, seeds: Sequence[int] | None) -> list[int]:
    there = [
        int(path.name.removeprefix("seed"))
        for path in folder.glob("seed*")
        if path.name.removeprefix("seed").isdecimal()
    ]
    return sorted(seed for seed in there if seeds is None or seed in seeds)


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
        for each in list(row.cells)[: 1 if fuse_seeds else None]:
            truth, detections = row.load_fused() if fuse_seeds else row.load(each)
            if weights is None:
                weights = patient_weights(truth, resamples, seed)
                counts = (
                    f"{truth.num_images} images of {weights.shape[1]} patients, "
                    f"{truth.num_lesions} lesions"
                )
            of_seeds[each] = measure(truth, detections, weights)
        samples.append(of_seeds)
    return counts, samples
