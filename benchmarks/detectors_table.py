#!/usr/bin/env python3
"""Make the table of what benchmarks/detectors.py trained, in Markdown.

Each row is a method, with its start, on the images of a test: sensitivity at 0.3 to 4 false
positives per image (R@x, centers in boxes), their mean at 1/8 to 8 (CPM), AP at IoU 0.5 and image
AUC, as means over the seeds, with 95% intervals from a bootstrap over patients. All rows are
computed on the same resamples, so the difference of two has an interval of its own; a star marks
one that does not hold 0. The intervals tell of other patients, not of other seeds: a third table
has the differences paired by seed, with their standard errors, and what they show. A fourth
tells what stages have learned, on held-out images beside an answer that ignores the image.
Trainings of a row that had another config than its first one, other minutes, or a start that was
trained again since, are told.

Of a benchmark with folds, the test images of all folds are pooled, each detected by the model that
did not see its patient; scores of the five models are ranked together.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from real_mammograms.cells import BENCHMARKS
from real_mammograms.row_notes import row_notes
from real_mammograms.rows import find_rows, measure_rows
from real_mammograms.statistics import METRICS, compare, compare_seeds, over_seeds, summarize

from medmask.engine.comparison.table import learning_table, learning_to_json
from medmask.errors import InputError
from medmask.evaluation.paired_differences import PairedDifference
from medmask.evaluation.settings import DEFAULT_MIN_PAIRS
from medmask.utils.command_line import command_line_tool
from medmask.utils.files import atomic_write
from medmask.utils.json_files import finite_values, write_json

_EXAMPLES = """examples:
  python benchmarks/detectors_table.py --benchmark mias2inbreast --test heldout
  python benchmarks/detectors_table.py --benchmark mias2inbreast --test heldout \\
      --ours teaching/imagenet --others control_strong/imagenet
"""


def _pairs(text: str) -> int:
    """Parse a number of pairs that have a standard error."""
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 2 on")
    return int(text)


def _resamples(text: str) -> int:
    """Parse a number of resamples."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 on")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--benchmark", choices=BENCHMARKS, required=True)
    parser.add_argument("--test", metavar="NAME", help="default: the benchmark's first")
    parser.add_argument("--label", choices=("lesion", "malignant"), default="lesion")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="S", help="default: all there are")
    parser.add_argument(
        "--ours",
        default="medmask/imagenet",
        metavar="METHOD/START",
        help="the row that differences are taken from (default %(default)s)",
    )
    parser.add_argument(
        "--others", nargs="+", metavar="METHOD/START", help="to compare with (default: all)"
    )
    parser.add_argument(
        "--min-pairs",
        type=_pairs,
        default=DEFAULT_MIN_PAIRS,
        metavar="N",
        help="seeds that a verdict needs, at least 2 (default %(default)s)",
    )
    parser.add_argument(
        "--fuse-seeds",
        action="store_true",
        help="rows of what all seeds of a method detect together, as `medmask fuse-detections` "
        "makes it, instead of means over seeds",
    )
    parser.add_argument(
        "--combine-views",
        action="store_true",
        help="each row once more, named METHOD+views: after `medmask combine-views`, by which the "
        "views of an exam change each other's scores",
    )
    parser.add_argument(
        "--bootstrap",
        type=_resamples,
        default=1000,
        metavar="B",
        help="resamples, 0 for no intervals (default %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/detectors"),
        metavar="DIR",
        help="of detectors.py",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures, too")
    parser.add_argument("--markdown", type=Path, metavar="OUT", help="write the table, too")
    return parser


def _table(rows: list[dict[str, Any]]) -> str:
    header = ["method", "start", "seeds", "minutes", "steps", *METRICS]
    lines = [f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]
    for row in rows:
        cells = [row["method"], row["start"], str(len(row["seeds"]))]
        cells += [f"{row['minutes']:.1f}", f"{row['steps']:.0f}"]
        cells += [_with_interval(*row["figures"][name]) for name in METRICS]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _differences(rows: list[dict[str, Any]], ours: str) -> str:
    lines = [f"| {ours} minus | {' | '.join(METRICS)} |", "|" + " --- |" * (1 + len(METRICS))]
    for row in rows:
        if "differences" in row:
            cells = [_signed(*row["differences"][name]) for name in METRICS]
            lines.append(f"| {row['method']}/{row['start']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _seed_differences(
    differences: Mapping[str, Mapping[str, PairedDifference]], ours: str, min_pairs: int
) -> str:
    lines = [
        f"Paired by seed, mean ± standard error; a verdict takes {min_pairs} pairs.",
        "",
        f"| {ours} minus | pairs | {' | '.join(METRICS)} |",
        "|" + " --- |" * (2 + len(METRICS)),
    ]
    for name, by_metric in differences.items():
        pairs = max(difference.num_pairs for difference in by_metric.values())
        cells = [_with_verdict(by_metric[metric], min_pairs) for metric in METRICS]
        lines.append(f"| {name} | {pairs} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _with_verdict(difference: PairedDifference, min_pairs: int) -> str:
    if not difference.num_pairs:
        return "undefined"
    error = difference.standard_error
    text = "" if math.isnan(error) else f" ± {error:.3f}"
    return f"{difference.mean:+.3f}{text}, {difference.verdict(min_pairs)}"


def _with_interval(value: float, lower: float, upper: float) -> str:
    if math.isnan(value):
        return "undefined"
    return f"{value:.3f}" + ("" if math.isnan(lower) else f" ({lower:.3f} to {upper:.3f})")


def _signed(value: float, lower: float, upper: float) -> str:
    if math.isnan(value):
        return "undefined"
    if math.isnan(lower):
        return f"{value:+.3f}"
    star = "*" if lower > 0 or upper < 0 else ""
    return f"{value:+.3f}{star} ({lower:+.3f} to {upper:+.3f})"


@command_line_tool
def main() -> None:
    options = _parser().parse_args()
    test = options.test or next(iter(BENCHMARKS[options.benchmark].tests))
    rows = find_rows(options.output, options.benchmark, options.label, test, options.seeds)
    if options.combine_views:
        rows += [replace(row, views=True) for row in rows]
    wanted = None if options.others is None else {options.ours, *options.others}
    rows = [row for row in rows if wanted is None or row.name in wanted]
    names = [row.name for row in rows]
    missing = sorted((wanted or {options.ours}) - set(names))
    if missing:
        raise InputError(
            f"{options.output} holds no detections of {missing[0]} on {options.benchmark}, test "
            f"{test}; it holds {', '.join(names) or 'none'}"
        )
    counts, samples = measure_rows(rows, options.bootstrap, fuse_seeds=options.fuse_seeds)
    ours = samples[names.index(options.ours)]
    content, seed_differences, learning = [], {}, {}
    for row, of_row in zip(rows, samples, strict=True):
        entry = row.facts() | {"figures": summarize(over_seeds(of_row))}
        if not row.views:
            learning[row.name] = row.learning()
            entry["learning"] = learning_to_json(learning[row.name])
        if row.name != options.ours:
            entry["differences"] = dict(compare(over_seeds(ours), over_seeds(of_row)))
            if not options.fuse_seeds:
                by_metric = compare_seeds(ours, of_row)
                seed_differences[row.name] = by_metric
                entry["seed_differences"] = {
                    name: each.to_json(options.min_pairs) for name, each in by_metric.items()
                }
        content.append(entry)
    fused = ", seeds fused" if options.fuse_seeds else ""
    text = f"{options.benchmark}, test {test}, {options.label}{fused}: {counts}\n\n"
    text += f"{_table(content)}\n"
    if len(rows) > 1:
        text += f"\n{_differences(content, options.ours)}\n"
    if seed_differences:
        text += f"\n{_seed_differences(seed_differences, options.ours, options.min_pairs)}\n"
    if any(learning.values()):
        text += f"\n{learning_table(learning)}"
    mixed = [sentence for row in rows if not row.views for sentence in row_notes(row)]
    if mixed:
        text += "\nTrainings that should not be in one row:\n\n"
        text += "".join(f"- {sentence}\n" for sentence in mixed)
    if options.json:
        figures = {"test": test, "counts": counts, "rows": content, "mixed_configs": mixed}
        write_json(options.json, finite_values(figures))
    if options.markdown:
        with atomic_write(options.markdown, "w") as file:
            file.write(text)
    print(text)


if __name__ == "__main__":
    main()
