"""Notes on the trainings of a row that should not be in one row."""

from collections import defaultdict

from medmask.config.difference import result_differences, result_values
from medmask.config.yaml_files import read_config_yaml
from real_mammograms.cell_config import CONFIG
from real_mammograms.order import Order
from real_mammograms.rows import Row

_OF_A_SEED = ("train.seed", "train.init_checkpoint")


def row_notes(row: Row) -> list[str]:
    """Sentences on trainings with another config than the first, or of a start that is no more."""
    return [*_other_configs(row), *_other_starts(row)]


def _other_configs(row: Row) -> list[str]:
    """A sentence on the seeds that were trained with another config than the first.

    Cells whose config is gone are not compared.
    """
    values = {
        seed: result_values(read_config_yaml(path, any_target=True), _OF_A_SEED)
        for seed, cells in sorted(row.cells.items())
        if (path := row.output / cells[0].name / CONFIG).is_file()
    }
    seeds_by_changes = defaultdict(list)
    for seed, now in values.items():
        first, before = next(iter(values.items()))
        seeds_by_changes["; ".join(result_differences(before, now))].append(str(seed))
    return [
        f"{row.name}: {'seeds' if len(seeds) > 1 else 'seed'} {', '.join(seeds)} trained with "
        f"another config than seed {first}: {changes}"
        for changes, seeds in seeds_by_changes.items()
        if changes
    ]


def _other_starts(row: Row) -> list[str]:
    """A sentence on the seeds whose start was trained again since."""
    seeds = []
    for seed, cells in sorted(row.cells.items()):
        orders = [Order(cell, row.output, (row.test,), minutes=None) for cell in cells]
        if any(order.has_other_start(order.read_record()) for order in orders):
            seeds.append(str(seed))
    if not seeds:
        return []
    return [
        f"{row.name}: the start of {'seeds' if len(seeds) > 1 else 'seed'} {', '.join(seeds)} was "
        "trained again since; delete what started from it to train that again, too"
    ]
