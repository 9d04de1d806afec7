"""The method in small, on generated mammograms: stages of training, FROC, pictures, a table.

Stage 1 trains on the labeled images of one scanner (film). Stage 2 adds masked autoencoding of
unlabeled images of another (ffdm). Stage 3 adds the distillation of an expert, a tiny CLIP that is
trained here because a real foundation model does not fit a demo. The last one, the part of stage 4
that needs no teacher, makes the features of both scanners alike. It starts from stage 2, each other
one from the one before; all are evaluated on validation images of both scanners.

Runs the other commands one after another and prints each command, so that any of them can be
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

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.registry import as_tool
from medmask.commands.repository import find_in_repository
from medmask.errors import InputError
from medmask.phantom.options import DOMAINS
from medmask.utils.overrides import as_override, as_value
from medmask.utils.signals import StoppedBySignal

CONFIGS = "configs/medmask/phantom2ffdm"
STAGES = {
    "source_only": "1, supervised on film",
    "cross_domain": "2, masked autoencoding of ffdm",
    "expert": "3, distillation of the expert",
    "alignment": "4, alignment of film and ffdm",
}
LABELED = "phantom_film_train"
LATER_STEPS = 250
"""of the stages after the first, fewer than in their configs: the demo must end"""

_EXAMPLES = """
example:
  medmask demo --output output/demo
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("output/demo"),
        metavar="DIR",
        help="where to write (default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of weights and samples (default %(default)s)"
    )
    parser.add_argument(
        "opts", nargs="*", metavar="KEY=VALUE", help="settings of the config for all stages"
    )
    return parser


class Demo:
    """The steps of the demo, each a command of the project.

    Args:
        output: folder for all results.
        options: settings of the config, for all stages.
        shows_tools: whether commands are shown as calls of the tools of a clone.
    """

    def __init__(self, output: Path, options: Sequence[str], *, shows_tools: bool) -> None:
        self.output = output
        self.options = options
        self.shows_tools = shows_tools
        self.configs = find_in_repository(CONFIGS)
        self.phantoms = Path(os.environ.get("DETECTRON2_DATASETS", "datasets")) / "phantom"
        self.expert = output / "phantom_expert"
        self.stores = output / "expert_store"

    def make_phantoms(self) -> None:
        self._run("Phantom mammograms", "make-phantoms", "--output", self.phantoms)

    def make_expert_store(self) -> None:
        if not (self.expert / "zero_shot.json").exists():  # the last that it writes
            self._run(
                "An expert in miniature",
                "train-phantom-expert",
                *("--output", self.expert, "--patients", "75", "--steps", "600"),
            )
        self._run(
            "What the expert makes of the labeled images",
            "extract-embeddings",
            *("--dataset", LABELED, "--model", f"local-dir:{self.expert}"),
            *("--no-patch-grid", "--output", self.stores),
        )

    def train(self, stage: str, start: str | None) -> None:
        """Train; ends with an evaluation on ffdm."""
        output_dir = as_override("train.output_dir", str(self.output / stage))
        options = [output_dir, "train.eval_period=0"]
        if start:
            weights = self.output / start / "model_final.pth"
            options.append(as_override("train.init_checkpoint", str(weights)))
            options.append(f"train.max_iter={LATER_STEPS}")
        if stage == "expert":
            store = as_value(str(self.stores / LABELED))
            options.append(f"loss_hooks.expert_distillation.stores=[{store}]")
        self._run(
            f"Stage {STAGES[stage]}",
            "train",
            *("--config-file", self.configs / f"{stage}.py", "--resume", *options, *self.options),
        )

    def evaluate_on_film(self, stage: str) -> None:
        run = self.output / stage
        weights = run / "model_final.pth"
        done = run / "film" / "evaluation.json"
        if done.exists() and done.stat().st_mtime > weights.stat().st_mtime:
            return
        self._run(
            f"Stage {STAGES[stage]}: evaluation on film",
            "train",
            *("--config-file", run / "config.yaml", "--eval-only"),
            as_override("train.init_checkpoint", str(weights)),
            as_override("train.output_dir", str(run / "film")),
            "dataloader.test.dataset=phantom_film_val",
        )

    def folder(self, stage: str, domain: str) -> Path:
        """Results of the evaluation of a stage on a domain."""
        run = self.output / stage
        return (run / "film" if domain == "film" else run) / "inference"

    def draw(self) -> None:
        """Detections of the last stage, and the FROC curves of all."""
        from medmask import evaluation

        last = list(STAGES)[-1]
        for domain in DOMAINS:
            self._run(
                f"Pictures of {domain}",
                "visualize-results",
                *("--dataset", f"phantom_{domain}_val"),
                *("--detections", self.folder(last, domain) / "froc_detections.json"),
                *("--output", self.output / "overlays" / domain),
            )
            file = self.phantoms / domain / "annotations" / "instances_val.json"
            annotations = evaluation.read_ground_truth(file)
            curves = []
            for stage, title in STAGES.items():
                detections = self.folder(stage, domain) / "froc_detections.json"
                found = evaluation.read_detections(detections, annotations)
                result = evaluation.evaluate_detections(annotations, found)
                curves.append((f"stage {title}", result))
            evaluation.plot_froc(
                curves, self.output / f"froc_{domain}.png", title=f"Validation on {domain}"
            )

    def show(self, minutes: float) -> None:
        """Print the table of results, and where the files are."""
        from tabulate import tabulate

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
            f"{self.output}/alignment/": "checkpoints, log, metrics, config of the last stage",
            f"tensorboard --logdir {self.output}": "losses and results over time",
        }
        print()
        print(tabulate(where.items(), tablefmt="plain"))

    def _run(self, title: str, command: str, *arguments: object) -> None:
        """Run a command in a process of its own, and show it."""
        from medmask.utils.child_tools import ChildTools

        call = as_tool(command) if self.shows_tools else f"medmask {command}"
        words = [str(argument) for argument in arguments]
        print(f"\n== {title}\n$ {call} {shlex.join(words)}", flush=True)
        children = ChildTools()
        try:
            with children.passing_signals_on():
                status = children.run(["-m", "medmask", command, *words])
        except StoppedBySignal as stop:
            again = f"python {shlex.join(sys.argv)}" if self.shows_tools else "the same command"
            message = f"{stop} in the step '{title}'; to go on: {again}"
            raise StoppedBySignal(stop.number, message) from None
        if status:
            raise InputError(
                f"the step '{title}' failed with status {status}: see its output above"
            )


def run(args: argparse.Namespace) -> None:
    """Run all steps that are not done yet."""
    start = time.monotonic()
    options = [f"train.seed={args.seed}", *args.opts]
    demo = Demo(args.output, options, shows_tools=args.is_tool)
    demo.make_phantoms()
    demo.train("source_only", start=None)
    demo.train("cross_domain", start="source_only")
    demo.make_expert_store()
    demo.train("expert", start="cross_domain")
    demo.train("alignment", start="cross_domain")
    for stage in STAGES:
        demo.evaluate_on_film(stage)
    demo.draw()
    demo.show((time.monotonic() - start) / 60)


main = entry_point(make_parser, run)
