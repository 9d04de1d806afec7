"""The results of a comparison as Markdown and JSON."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medmask.engine.comparison.plan import Comparison
from medmask.engine.comparison.runner import Results
from medmask.utils.files import atomic_write


def write_tables(
    comparison: Comparison, results: Results, seeds: Sequence[int], output_dir: Path
) -> str:
    """Write ``benchmark.json`` and ``benchmark.md``; returns the Markdown."""
    rows = summarize(comparison, results)
    content = {
        "test_dataset": comparison.test_dataset,
        "metric": comparison.metric,
        "seeds": list(seeds),
        "rows": rows,
        "results": {
            name: {str(seed): vars(result) for seed, result in by_seed.items()}
            for name, by_seed in results.items()
        },
    }
    with atomic_write(output_dir / "benchmark.json", "w") as file:
        json.dump(content, file, indent=1)
    markdown = to_markdown(comparison, rows)
    with atomic_write(output_dir / "benchmark.md", "w") as file:
        file.write(markdown)
    return markdown


def summarize(comparison: Comparison, results: Results) -> list[dict[str, Any]]:
    """Summarize each run that has results in a dict.

    Returns:
        ``run``, ``values`` by seed, ``mean``, ``deviation`` (of the sample; None for one seed),
        ``minutes`` (mean), and ``comparisons``: for each control its name, the ``difference`` of
        the means and the ``pooled_deviation`` of both (the root of the mean of their variances).
        Seeds without the metric (NaN: a test set without lesions) are left out.
    """
    rows: dict[str, dict[str, Any]] = {}
    for run in comparison.runs:
        by_seed = sorted(results[run.name].items())
        metrics = {seed: result.metrics.get(comparison.metric) for seed, result in by_seed}
        values = {seed: value for seed, value in metrics.items() if value is not None}
        if not values:
            continue
        mean = statistics.mean(values.values())
        deviation = statistics.stdev(values.values()) if len(values) > 1 else None
        rows[run.name] = {
            "run": run.name,
            "values": values,
            "mean": mean,
            "deviation": deviation,
            "minutes": statistics.mean(result.minutes for _, result in by_seed),
            "comparisons": [
                {
                    "control": name,
                    "difference": mean - rows[name]["mean"],
                    "pooled_deviation": _pool(deviation, rows[name]["deviation"]),
                }
                for name in run.controls
                if name in rows
            ],
        }
    return list(rows.values())


def to_markdown(comparison: Comparison, rows: Sequence[dict[str, Any]]) -> str:
    """Write a table with a row for each run."""
    metric = comparison.metric.rsplit("/", 1)[-1]
    lines = [
        f"{metric} on {comparison.test_dataset}, in percent: mean over seeds, standard deviation, "
        "each seed; difference to the controls' means (pooled standard deviation).",
        "",
        f"| run | {metric} | deviation | by seed | against controls | minutes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [
            row["run"],
            f"{row['mean']:.1f}",
            _number(row["deviation"]),
            " / ".join(f"{value:.1f}" for value in row["values"].values()),
            ", ".join(map(_describe, row["comparisons"])),
            f"{row['minutes']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _pool(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else ((a * a + b * b) / 2) ** 0.5


def _describe(comparison: dict[str, Any]) -> str:
    pooled = _number(comparison["pooled_deviation"])
    difference = f"{comparison['control']} {comparison['difference']:+.1f}"
    return f"{difference} ({pooled})" if pooled else difference


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
