"""The results of a comparison as Markdown and JSON."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medmask.engine.comparison.plan import Comparison, is_percentage, short_name
from medmask.engine.comparison.plot import plot_differences
from medmask.engine.comparison.run_result import Results
from medmask.engine.comparison.summary import (
    ControlComparison,
    LearningSummary,
    RunSummary,
    summarize,
)
from medmask.engine.comparison.training_length import other_lengths
from medmask.evaluation.paired_differences import STANDARD_ERRORS, PairedDifference
from medmask.evaluation.settings import DEFAULT_MIN_PAIRS
from medmask.utils.files import atomic_write
from medmask.utils.json_files import finite_or_none, write_json


def write_tables(
    comparison: Comparison,
    results: Results,
    output_dir: Path,
    min_pairs: int = DEFAULT_MIN_PAIRS,
    left_out: Sequence[str] = (),
) -> str:
    """Write ``benchmark.json``, ``benchmark.md`` and, of differences, ``benchmark.png``.

    Args:
        comparison: the plan.
        results: of its runs.
        output_dir: gets the files.
        min_pairs: pairs that a verdict other than "not shown" needs, at least 2.
        left_out: a sentence on each result of the folder that is not among them.

    Returns:
        The Markdown.
    """
    rows = summarize(comparison, results)
    notes = [each.describe() for each in other_lengths(comparison, results)]
    content = {
        "test_dataset": comparison.test_dataset,
        "metric": comparison.metric,
        "seeds": sorted({seed for by_seed in results.values() for seed in by_seed}),
        "min_pairs": min_pairs,
        "notes": notes,
        "left_out": list(left_out),
        "rows": [_row_to_json(row, min_pairs) for row in rows],
        "results": {
            name: {str(seed): vars(result) for seed, result in by_seed.items()}
            for name, by_seed in results.items()
        },
    }
    write_json(output_dir / "benchmark.json", content)
    markdown = to_markdown(comparison, rows, min_pairs)
    markdown += _list("Of other length than their controls", notes)
    markdown += _list("Not in the tables", left_out)
    with atomic_write(output_dir / "benchmark.md", "w") as file:
        file.write(markdown)
    if any(row.comparisons for row in rows):
        plot_differences(rows, comparison.metrics, min_pairs, output_dir / "benchmark.png")
    return markdown


def to_markdown(comparison: Comparison, rows: Sequence[RunSummary], min_pairs: int) -> str:
    """Write the tables: runs, differences to their controls, what the stages have learned."""
    text = _runs_table(comparison, rows)
    if any(row.comparisons for row in rows):
        text += "\n" + _differences_table(comparison, rows, min_pairs)
    if any(row.learning for row in rows):
        text += "\n" + learning_table({row.run: row.learning for row in rows})
    return text


def _runs_table(comparison: Comparison, rows: Sequence[RunSummary]) -> str:
    names = [short_name(metric) for metric in comparison.metrics]
    lines = [
        f"On {comparison.test_dataset}, {_units(comparison.metrics)}: mean over seeds ± standard "
        "deviation.",
        "",
        *_head("run", "seeds", *names, f"{names[0]} by seed", "minutes"),
    ]
    all_seeds = {seed for row in rows for seed in row.metrics[comparison.metric].values}
    for row in rows:
        by_seed = row.metrics[comparison.metric].values
        values = (
            _with_error(m, row.metrics[m].mean, row.metrics[m].deviation)
            for m in comparison.metrics
        )
        each = " / ".join(_figure(comparison.metric, value) for value in by_seed.values())
        if by_seed.keys() != all_seeds:
            each += f" (seeds {', '.join(map(str, by_seed))})"
        lines.append(_line(row.run, str(len(by_seed)), *values, each, f"{row.minutes:.1f}"))
    return "\n".join(lines) + "\n"


def _differences_table(comparison: Comparison, rows: Sequence[RunSummary], min_pairs: int) -> str:
    columns = [
        name
        for metric in comparison.metrics
        for name in (short_name(metric), "t", "pairs", "verdict")
    ]
    lines = [
        "Run minus control, paired by seed: mean ± standard error. A verdict other than "
        f'"not shown" takes more than {STANDARD_ERRORS:g} standard errors and at least {min_pairs} '
        "pairs.",
        "",
        *_head("run", "control", "shared start", *columns),
    ]
    for row in rows:
        for each in row.comparisons:
            cells: list[str] = []
            for metric in comparison.metrics:
                cells += _difference_cells(metric, each.differences[metric], min_pairs)
            start = each.shared_start or "none, the seed alone"
            lines.append(_line(row.run, each.control, start, *cells))
    return "\n".join(lines) + "\n"


def learning_table(learning: Mapping[str, Sequence[LearningSummary]]) -> str:
    """Write a table of what the stages of runs, by their names, have learned."""
    lines = [
        "What the stages have learned, on held-out images, beside an answer that ignores the "
        "image: mean over seeds.",
        "",
        *_head("run", "measure", "value", "constant", "seeds that beat it"),
    ]
    for run, measures in learning.items():
        for each in measures:
            values = (f"{x.mean:.3f}" if x.values else "" for x in (each.value, each.constant))
            # A value that is missing beats nothing: there was nothing to measure it by.
            share = f"{each.num_better} of {each.num_seeds}"
            lines.append(_line(run, each.measure, *values, share))
    return "\n".join(lines) + "\n"


def _difference_cells(
    metric: str, difference: PairedDifference, min_pairs: int
) -> tuple[str, str, str, str]:
    return (
        _with_error(metric, difference.mean, difference.standard_error, "+"),
        "" if math.isnan(difference.t) else f"{difference.t:.1f}",
        str(difference.num_pairs),
        difference.verdict(min_pairs),
    )


def _list(title: str, sentences: Sequence[str]) -> str:
    items = "".join(f"- {each}\n" for each in sentences)
    return f"\n{title}:\n\n{items}" if items else ""


def _head(*columns: str) -> list[str]:
    return [_line(*columns), _line(*["---"] * len(columns))]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _units(metrics: Sequence[str]) -> str:
    others = [short_name(metric) for metric in metrics if not is_percentage(metric)]
    if not others:
        return "in percent"
    as_given = f"{', '.join(others)} as the run gives it"
    return as_given if len(others) == len(metrics) else f"in percent, {as_given}"


def _with_error(metric: str, value: float, error: float, sign: str = "") -> str:
    if math.isnan(value):
        return ""
    text = _figure(metric, value, sign)
    return text if math.isnan(error) else f"{text} ± {_figure(metric, error)}"


def _figure(metric: str, value: float, sign: str = "") -> str:
    return f"{value:{sign}{'.1f' if is_percentage(metric) else '.3g'}}"


def _row_to_json(row: RunSummary, min_pairs: int) -> dict[str, Any]:
    """Values that JSON has: what is undefined or infinite is null."""
    return {
        "run": row.run,
        "minutes": row.minutes,
        "metrics": {
            name: {
                "values": {str(seed): value for seed, value in metric.values.items()},
                "mean": finite_or_none(metric.mean),
                "deviation": finite_or_none(metric.deviation),
            }
            for name, metric in row.metrics.items()
        },
        "comparisons": [_comparison_to_json(each, min_pairs) for each in row.comparisons],
        "learning": learning_to_json(row.learning),
    }


def learning_to_json(measures: Sequence[LearningSummary]) -> dict[str, dict[str, float | None]]:
    """Values that JSON has, by the name of the measure."""
    return {
        each.measure: {
            "value": finite_or_none(each.value.mean),
            "constant": finite_or_none(each.constant.mean),
            "num_better": each.num_better,
            "num_seeds": each.num_seeds,
        }
        for each in measures
    }


def _comparison_to_json(comparison: ControlComparison, min_pairs: int) -> dict[str, Any]:
    return {
        "control": comparison.control,
        "shared_start": comparison.shared_start,
        "differences": {
            name: difference.to_json(min_pairs)
            for name, difference in comparison.differences.items()
        },
    }
