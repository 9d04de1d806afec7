"""Notes on the trainings of a row that should not be in one row."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medmask.config.difference import result_differences, result_values
from medmask.config.yaml_files import read_config_yaml
from real_mammograms.cell_config import CONFIG
from real_mammograms.cells import Cell
from real_mammograms.rows import Row

_OF_A_SEED = ("train.seed", "train.init_checkpoint")
_OF_A_FOLD = ("datasets.fold", "model.anchor_sizes")  # a peer's, by the images


def row_notes(row: Row) -> list[str]:
    """Sentences on trainings unlike the first: of another config, budget, or start of before."""
    return [*_other_configs(row), *_other_budgets(row), *_other_starts(row)]


def _other_configs(row: Row) -> list[str]:
    """A sentence on the trainings, of all folds, with another config than the first.

    Cells whose config is gone are not compared.
    """
    values = {
        cell: _values(cell, path)
        for _, cells in sorted(row.cells.items())
        for cell in cells
        if (path := row.output / cell.name / CONFIG).is_file()
    }
    cells_by_changes: dict[str, list[Cell]] = defaultdict(list)
    for cell, now in values.items():
        before = next(iter(values.values()))
        cells_by_changes["; ".join(result_differences(before, now))].append(cell)
    return [
        f"{row.name}: {_named(cells)} trained with another config than "
        f"{_named([next(iter(values))])}: {changes}"
        for changes, cells in cells_by_changes.items()
        if changes
    ]


def _values(cell: Cell, path: Path) -> dict[str, Any]:
    """Values of the config of a cell that all seeds and folds have in common."""
    decided = _OF_A_SEED if cell.fold is None else _OF_A_SEED + _OF_A_FOLD
    values = result_values(read_config_yaml(path, any_target=True), decided)
    if cell.fold is None:
        return values
    return {
        key: value.replace(f"_fold{cell.fold}_", "_fold_") if isinstance(value, str) else value
        for key, value in values.items()
    }


def _other_budgets(row: Row) -> list[str]:
    """A sentence on the trainings that had more or fewer minutes, or none set, than the first."""
    cells_by_minutes: dict[float | None, list[Cell]] = defaultdict(list)
    for _, cells in sorted(row.cells.items()):
        for cell in cells:
            minutes = row.order(cell).read_record()["asked"]["minutes"]
            cells_by_minutes[minutes].append(cell)
    (first, of_first), *others = cells_by_minutes.items()
    return [
        f"{row.name}: {_named(cells)} trained for {_budget(minutes)}, and {_named(of_first[:1])} "
        f"for {_budget(first)}"
        for minutes, cells in others
    ]


def _budget(minutes: float | None) -> str:
    return "the steps of the config" if minutes is None else f"{minutes:g} minutes"


def _named(cells: Sequence[Cell]) -> str:
    """Seeds, or each fold of each seed."""
    if any(cell.fold is not None for cell in cells):
        return ", ".join(f"fold {cell.fold} of seed {cell.seed}" for cell in cells)
    seeds = ", ".join(str(cell.seed) for cell in cells)
    return f"{'seeds' if len(cells) > 1 else 'seed'} {seeds}"


def _other_starts(row: Row) -> list[str]:
    """A sentence on the seeds whose start was trained again since."""
    seeds = []
    for seed, cells in sorted(row.cells.items()):
        orders = [row.order(cell) for cell in cells]
        if any(order.has_other_start(order.read_record()) for order in orders):
            seeds.append(str(seed))
    if not seeds:
        return []
    return [
        f"{row.name}: the start of {'seeds' if len(seeds) > 1 else 'seed'} {', '.join(seeds)} was "
        "trained again since; delete what started from it to train that again, too"
    ]
