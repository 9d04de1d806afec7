"""Train an expert in miniature: a tiny CLIP that has learned from generated phantoms.

It stands in for a foundation model where none is at hand; training takes minutes on two CPU cores.
Its phantoms have another seed than the benchmark's, so it has seen no image of the benchmark.
Writes OUTPUT/open_clip_config.json and the weights, which load as --model local-dir:OUTPUT, and
OUTPUT/zero_shot.json: how well it tells lesions from other tissue on phantoms that it did not see.
"""

import argparse
import json

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import add_output_folder
from medmask.phantom.options import PhantomExpertSettings

_EXAMPLES = """
examples:
  medmask train-phantom-expert --output output/phantom_expert
  medmask extract-embeddings --dataset phantom_film_train \\
      --model local-dir:output/phantom_expert --output output/experts
"""


def make_parser() -> argparse.ArgumentParser:
    defaults = PhantomExpertSettings()
    parser = examples_parser(__doc__, _EXAMPLES)
    add_output_folder(parser)
    parser.add_argument(
        "--seed",
        type=int,
        default=defaults.seed,
        help="of phantoms and training; not the seed of the phantoms that it will teach on "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--patients",
        type=int,
        default=defaults.patients,
        metavar="N",
        help="to learn from, in each of the two scanner domains (default %(default)s)",
    )
    parser.add_argument(
        "--test-patients",
        type=int,
        default=defaults.test_patients,
        metavar="N",
        help="to measure on, likewise (default %(default)s)",
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=defaults.steps,
        metavar="N",
        help="of the optimizer (default %(default)s)",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Train, and print the report."""
    from medmask.phantom.expert import REPORT_FILE, train_phantom_expert

    settings = PhantomExpertSettings(
        seed=args.seed,
        patients=args.patients,
        test_patients=args.test_patients,
        steps=args.steps,
    )
    report = train_phantom_expert(args.output, settings)
    print(json.dumps(report, indent=1))
    print(
        f"balanced accuracy, lesions against other tissue: "
        f"{report['lesion_crops']['balanced_accuracy']:.3f}; trained in {report['seconds']:.0f} s; "
        f"{args.output / REPORT_FILE}"
    )


main = entry_point(make_parser, run)
