#!/usr/bin/env python3
"""Train an expert in miniature: a tiny CLIP that has learnt from generated phantoms.

It stands in for a foundation model where none is at hand; training takes minutes on two CPU cores.
Its phantoms have another seed than the benchmark's, so it has seen no image of the benchmark.
Writes OUTPUT/open_clip_config.json and the weights, which load as --model local-dir:OUTPUT, and
OUTPUT/zero_shot.json: how well it tells lesions from other tissue on phantoms that it did not see.
"""

import argparse
import json
from pathlib import Path

from medmask.errors import command_line_tool
from medmask.phantom.expert import REPORT_FILE, PhantomExpertSettings, train_phantom_expert

_EXAMPLE = """
example:
  python tools/train_phantom_expert.py --output output/phantom_expert
  python tools/extract_expert_embeddings.py --dataset phantom_film_train \\
      --model local-dir:output/phantom_expert --output output/experts
"""


def _parser() -> argparse.ArgumentParser:
    defaults = PhantomExpertSettings()
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="where to write")
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
        help="of the optimiser (default %(default)s)",
    )
    return parser


@command_line_tool
def main() -> None:
    args = _parser().parse_args()
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


if __name__ == "__main__":
    main()
