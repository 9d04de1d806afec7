#!/usr/bin/env python3
"""The method in small, on generated mammograms: three stages of training, FROC, pictures, a table.

Stage 1 trains on the labelled images of one scanner (film). Stage 2 adds masked autoencoding of
unlabelled images of another (ffdm). Stage 3 adds the distillation of an expert, a tiny CLIP that is
trained here because a real foundation model does not fit a demo. Each stage starts from the weights
of the one before and is evaluated on validation images of both scanners.

Runs the project's tools one after another and prints each command, so that any of them can be
repeated alone. Interrupted, it goes on where it stopped.
"""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
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
from medmask.utils.child_tools import ChildTools
from medmask.utils.signals import StoppedBySignal

CONFIGS = "configs/medmask/phantom2ffdm"
STAGES = {
    "source_only": "1, supervised on film",
    "cross_domain": "2, masked autoencoding of ffdm",
    "expert": "3, distillation of the expert",
}
DOMAINS = ("film", "ffdm")
LABELLED = "phantom_film_train"
LATER_STEPS = 250
"""of stages 2 and 3, fewer than in their configs: the demo must end"""
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
        "opts", nargs="*", metavar="KEY=VALUE", help="settings of the config for all stages"
    )
    return parser


class Demo:
    """The steps of the demo, each a tool of the project."""

    def __init__(self, output: Path, options: Sequence[str]) -> None:
        self.output = output
        self.options = options
        self.phantoms = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")) / "phantom"
        self.expert = output / "phantom_expert"
        self.stores = output / "expert_store"

    def make_phantoms(self) -> None:
        _run("Phantom mammograms", "make_phantoms.py", "--output", self.phantoms)

    def make_expert_store(self) -> None:
        if not (self.expert / "zero_shot.json").exists():  # the last that it writes
            _run(
                "An expert in miniature",
                "train_phantom_expert.py",
                *("--output", self.expert, "--patients", "75", "--steps", "600"),
            )
        _run(
            "What the expert makes of the labelled images",
            "extract_expert_embeddings.py",
            *("--dataset", LABELLED, "--model", f"local-dir:{self.expert}"),
            *("--no-patch-grid", "--output", self.stores),
        )

    def train(self, stage: str, start: str | None) -> None:
        """Train; ends with an evaluation on ffdm."""
        options = [f"train.output_dir={self.output / stage}", "train.eval_period=0"]
        if start:
            options.append(f"train.init_checkpoint={self.output / start / 'model_final.pth'}")
            options.append(f"train.max_iter={LATER_STEPS}")
        if stage == "expert":
            options.append(f"loss_hooks.expert_distillation.stores=[{self.stores / LABELLED}]")
        _run(
            f"Stage {STAGES[stage]}",
            "lazyconfig_train_net.py",
            *("--config-file", f"{CONFIGS}/{stage}.py", "--resume", *options, *self.options),
        )

    def evaluate_on_film(self, stage: str) -> None:
        run = self.output / stage
        weights = run / "model_final.pth"
        done = run / "film" / "evaluation.json"
        if done.exists() and done.stat().st_mtime > weights.stat().st_mtime:
            return
        _run(
            f"Stage {STAGES[stage]}: evaluation on film",
            "lazyconfig_train_net.py",
            *("--config-file", run / "config.yaml", "--eval-only"),
            f"train.init_checkpoint={weights}",
            f"train.output_dir={run / 'film'}",
            "dataloader.test.dataset=phantom_film_val",
        )

    def folder(self, stage: str, domain: str) -> Path:
        """What the evaluation of a stage on a domain left."""
        run = self.output / stage
        return (run / "film" if domain == "film" else run) / "inference"

    def draw(self) -> None:
        """Detections of the last stage, and the FROC curves of all."""
        last = list(STAGES)[-1]
        for domain in DOMAINS:
            _run(
                f"Pictures of {domain}",
                "visualize_results.py",
                *("--dataset", f"phantom_{domain}_val"),
                *("--detections", self.folder(last, domain) / "froc_detections.json"),
                *("--output", self.output / "overlays" / domain),
            )
            file = self.phantoms / domain / "annotations" / "instances_val.json"
            annotations = read_ground_truth(file)
            curves = []
            for stage, title in STAGES.items():
                detections = self.folder(stage, domain) / "froc_detections.json"
                found = read_detections(detections, annotations)
                curves.append(
                    (
                        f"stage {title}",
                        evaluate_detections(annotations, found, EvaluationSettings()),
                    )
                )
            plot_froc(curves, self.output / f"froc_{domain}.png", title=f"Validation on {domain}")

    def show(self, minutes: float) -> None:
        rows = []
        for stage, title in STAGES.items():
            results = {
                domain: json.loads((self.folder(stage, domain) / "froc.json").read_text())
                for domain in DOMAINS
            }
            index = results["ffdm"]["fpi"].index(0.3)
            low, high = results["ffdm"]["intervals"][index]
            rows.append(
                [
                    title,
                    f"{results['film']['sensitivity'][index]:.3f}",
                    f"{results['ffdm']['sensitivity'][index]:.3f}",
                    f"{low:.3f} to {high:.3f}",
                    f"{results['ffdm']['image_level']['auc']:.3f}",
                ]
            )
        headers = ["stage", "film R@0.3", "ffdm R@0.3", "95% interval", "ffdm image AUC"]
        counts = results["ffdm"]["counts"]
        print(f"\n== Trained with labels on film only, in {minutes:.1f} minutes")
        print(
            "R@0.3: share of the lesions that are found at 0.3 false positives per image, on "
            f"{counts['images']} ffdm images with {counts['lesions']} lesions, and as many film "
            "images. One run: differences of a few points are chance.\n"
        )
        print(tabulate(rows, headers, disable_numparse=True))
        where = {
            f"{self.output}/froc_ffdm.png": "the FROC curves of the stages",
            f"{self.output}/overlays/": "detections (boxes with scores), lesions (dashed green)",
            f"{self.output}/cross_domain/pictures/": "what the masked autoencoder rebuilds",
            f"{self.output}/expert/": "checkpoints, log, metrics, config of the last stage",
            f"tensorboard --logdir {self.output}": "losses and results over time",
        }
        print()
        print(tabulate(where.items(), tablefmt="plain"))


def _run(title: str, tool: str, *arguments: str | Path) -> None:
    """Run a tool of the project, showing the command."""
    command = [str(TOOLS / tool), *map(str, arguments)]
    print(f"\n== {title}\n$ python {shlex.join(command)}", flush=True)
    children = ChildTools()
    try:
        with children.passing_signals_on():
            status = children.run(command)
    except StoppedBySignal as stop:
        again = f"python {shlex.join(sys.argv)}"
        words = f"{stop} in the step '{title}'; to go on: {again}"
        raise StoppedBySignal(stop.number, words) from None
    if status:
        raise InputError(f"the step '{title}' failed with status {status}; see its output above")


@command_line_tool
def main() -> None:
    args = _parser().parse_intermixed_args()
    start = time.monotonic()
    demo = Demo(args.output, [f"train.seed={args.seed}", *args.opts])
    demo.make_phantoms()
    demo.train("source_only", start=None)
    demo.train("cross_domain", start="source_only")
    demo.make_expert_store()
    demo.train("expert", start="cross_domain")
    for stage in STAGES:
        demo.evaluate_on_film(stage)
    demo.draw()
    demo.show((time.monotonic() - start) / 60)


if __name__ == "__main__":
    main()
