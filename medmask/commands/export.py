"""Export a detector to a file of ONNX, which runs without PyTorch.

The graph takes padded images of any size and number (images, sizes) and gives boxes in their
pixels, scores and classes; docs/export.md describes it. Its detections are compared with PyTorch's
on several sizes and numbers of images, and if one differs by more than 1e-4, nothing is written.
Preprocessing, classes and the hash of the weights stand in the file.
"""

import argparse
from pathlib import Path

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.utils.counts import counted

_EXAMPLES = """
examples:
  medmask export --weights output/demo/alignment/model_final.pth --output model.onnx
  medmask export --config-file configs/medmask/phantom/source_only.py \\
      --weights output/phantom/source_only/model_best.pth --output model.onnx
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "--config-file",
        metavar="FILE",
        help="the LazyConfig of the weights (default: config.yaml beside them)",
    )
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE", help="the checkpoint"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="to write, .onnx")
    parser.add_argument("opts", metavar="key=value", nargs="*", help="changes to the config")
    return parser


def run(args: argparse.Namespace) -> int:
    """Export; the status is 0 if the graph computes what PyTorch does."""
    from medmask.export import export_onnx

    summary = export_onnx(
        args.config_file or args.weights.with_name("config.yaml"),
        args.weights,
        args.output,
        args.opts,
        report=print,
    )
    print(
        f"compared with PyTorch on {counted(summary.batches, 'batch', 'batches')}: boxes (as "
        f"shares of the image's sides) and scores differ by {summary.difference:.1e} at most"
    )
    print(f"written: {args.output} ({summary.bytes / 2**20:.1f} MiB)")
    return 0


main = entry_point(make_parser, run)
