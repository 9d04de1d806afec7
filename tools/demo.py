#!/usr/bin/env python3
"""The whole path in small: phantoms, training, FROC in both domains, pictures, a table.

Runs the project's tools one after another and prints each command, so that any of them can be
repeated alone. Interrupted, it goes on where it stopped.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from tabulate import tabulate

from medmask.errors import InputError, command_line_tool
from medmask.evaluation import (
    EvaluationSettings,
    evaluate_detections,
    plot_froc,
    read_detections,
    read_ground_truth,
)

CONFIG = "configs/medmask/phantom/source_only.py"
DOMAINS = {"film": "in-domain", "ffdm": "cross-domain"}
OPERATING_POINTS = (0.1, 0.3, 1.0)
TOOLS = Path(__file__).parent

_EXAMPLE = """
example:
  python tools/demo.py --output output/demo
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("output/demo"), metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, help="of weights and samples")
    parser.add_argument(
        "opts", nargs="*", metavar="KEY=VALUE", help="settings of the config for the training"
    )
    return parser


def _run(title: str, tool: str, *arguments: str) -> None:
    """Run a tool of the project, showing the command."""
    command = [str(TOOLS / tool), *arguments]
    print(f"\n== {title}\n$ python {shlex.join(command)}", flush=True)
    status = subprocess.run([sys.executable, *command]).returncode
    if status:
        raise InputError(f"the step '{title}' failed with status {status}; see its output above")


def _show_results(output: Path, minutes: float) -> None:
    rows = []
    for domain, kind in DOMAINS.items():
        result = json.loads((output / domain / "inference" / "froc.json").read_text())
        sensitivity = dict(zip(result["fpi"], result["sensitivity"], strict=True))
        low, high = result["intervals"][result["fpi"].index(0.3)]
        counts = result["counts"]
        rows.append(
            [
                f"{domain} ({kind})",
                counts["images"],
                counts["lesions"],
                *(f"{sensitivity[point]:.3f}" for point in OPERATING_POINTS),
                f"{low:.3f} to {high:.3f}",
                f"{result['image_level']['auc']:.3f}",
            ]
        )
    points = [f"R@{point:g}" for point in OPERATING_POINTS]
    headers = ["validation images", "images", "lesions", *points, "95% of R@0.3", "image AUC"]
    print(f"\n== Trained on film, tested on both, in {minutes:.1f} minutes")
    print("R@x: share of the lesions that are found at x false positives per image.\n")
    print(tabulate(rows, headers, disable_numparse=True))
    where = {
        f"{output}/froc.png": "both FROC curves",
        f"{output}/overlays/": "detections (boxes with scores), lesions (dashed green)",
        f"{output}/train/": "checkpoints, log, metrics, config",
        f"tensorboard --logdir {output}/train": "losses and results over time",
    }
    print()
    print(tabulate(where.items(), tablefmt="plain"))


@command_line_tool
def main() -> None:
    args = _parser().parse_intermixed_args()
    start = time.monotonic()
    output = args.output
    phantoms = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")) / "phantom"
    _run("Phantom mammograms", "make_phantoms.py", "--output", str(phantoms))
    _run(
        "Training on film",
        "lazyconfig_train_net.py",
        *("--config-file", CONFIG, "--resume"),
        f"train.output_dir={output / 'train'}",
        f"train.seed={args.seed}",
        *args.opts,
    )
    for domain, kind in DOMAINS.items():
        _run(
            f"Evaluation on {domain}, {kind}",
            "lazyconfig_train_net.py",
            *("--config-file", str(output / "train" / "config.yaml"), "--eval-only"),
            f"train.init_checkpoint={output / 'train' / 'model_final.pth'}",
            f"train.output_dir={output / domain}",
            f"dataloader.test.dataset=phantom_{domain}_val",
        )
    curves = []
    for domain, kind in DOMAINS.items():
        detections = output / domain / "inference" / "froc_detections.json"
        _run(
            f"Pictures of {domain}",
            "visualize_results.py",
            *("--dataset", f"phantom_{domain}_val", "--detections", str(detections)),
            *("--output", str(output / "overlays" / domain)),
        )
        annotations = read_ground_truth(phantoms / domain / "annotations" / "instances_val.json")
        found = read_detections(detections, annotations)
        result = evaluate_detections(annotations, found, EvaluationSettings())
        curves.append((f"{domain}, {kind}", result))
    plot_froc(curves, output / "froc.png", title="Trained on film phantoms")
    _show_results(output, (time.monotonic() - start) / 60)


if __name__ == "__main__":
    main()
