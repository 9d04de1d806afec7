"""Convert a published checkpoint to one that train.init_checkpoint accepts.

Reads checkpoints of MedMask, D-MASTER and MRT, of official Deformable DETR and of Hugging Face
transformers' Deformable DETR with a ResNet of timm (model.safetensors or pytorch_model.bin): plain,
with box refinement, two-stage. No code from them is run. The config says what the model needs.

The exit status is 1 if the file leaves a part of the model empty, such as class heads for other
classes. What the file has is written all the same; detection refuses it, and training takes it with
train.fresh_class_heads=True if class heads are all that is missing.
"""

import argparse
import os

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.errors import InputError

_EXAMPLES = """
Examples:

A published mammography model, to predict and to evaluate with. Its class heads have two rows, for
the labels 0 (of no object) and 1 (malignant); ours have the one class:
    $ medmask convert-checkpoint medmask_ddsm.pth converted.pth --class-rows 1 \\
        --config-file configs/medmask/ddsm/source_only.py
    $ medmask train --config-file configs/medmask/ddsm/source_only.py \\
        --eval-only train.init_checkpoint=converted.pth

A detector of everyday objects, to train from; its 91 classes are of no use, so this ends with
status 1, and training makes new class heads:
    $ medmask convert-checkpoint r50_deformable_detr-checkpoint.pth deformable_detr.pth \\
        --config-file configs/medmask/ddsm/source_only.py
    $ medmask train --config-file configs/medmask/ddsm/source_only.py \\
        train.init_checkpoint=deformable_detr.pth train.fresh_class_heads=True

With box refinement and two stages, as the file's name says, and the file's 91 classes:
    $ medmask convert-checkpoint \\
        r50_deformable_detr_plus_iterative_bbox_refinement_plus_plus_two_stage-checkpoint.pth \\
        two_stage.pth --config-file configs/medmask/ddsm/source_only.py \\
        model.transformer.box_refinement=True model.transformer.two_stage=True \\
        model.transformer.num_classes=91

The same from Hugging Face (SenseTime/deformable-detr-with-box-refine-two-stage):
    $ medmask convert-checkpoint model.safetensors two_stage.pth \\
        --config-file configs/medmask/ddsm/source_only.py model.transformer.box_refinement=True \\
        model.transformer.two_stage=True model.transformer.num_classes=91
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument(
        "input", metavar="INPUT", help="published checkpoint, .pth, .bin or .safetensors"
    )
    parser.add_argument("output", metavar="OUTPUT", help="file to write, .pth")
    parser.add_argument("--config-file", required=True, help="LazyConfig file of the model")
    parser.add_argument(
        "--class-rows",
        metavar="ROWS",
        help="the row of each of the model's classes in the file's class heads, from 0 on and "
        "separated by commas: 1 for malignant in published mammography models, 1,2,3,4,5,6,7,8 for "
        "all classes of published street-scene models (default: the file has the model's classes)",
    )
    parser.add_argument("--verbose", action="store_true", help="report on every parameter")
    parser.add_argument("opts", metavar="key=value", nargs="*", help="changes to the config")
    return parser


def run(args: argparse.Namespace) -> int:
    """Convert a file; the status is 0 if it fills the model."""
    if not args.output.endswith(".pth"):
        raise InputError(f"OUTPUT {args.output} must end in .pth")
    import torch
    from torch import nn

    from medmask import checkpoint
    from medmask.config import load_config
    from medmask.config.building import build
    from medmask.utils.files import atomic_write

    rows = None if args.class_rows is None else checkpoint.parse_class_rows(args.class_rows)
    published = checkpoint.read_published_file(args.input)
    if os.path.exists(args.output) and os.path.samefile(args.input, args.output):
        raise InputError(f"OUTPUT {args.output} is the INPUT: choose another name")
    model = build(load_config(args.config_file, args.opts), "model", nn.Module)
    try:
        conversion = checkpoint.convert_checkpoint(published, model.state_dict(), rows)
    except InputError as error:
        raise InputError(f"checkpoint {args.input} cannot be converted: {error}") from None
    try:
        with atomic_write(args.output) as file:
            torch.save({"model": conversion.state_dict}, file)
    except OSError as error:
        raise InputError(f"OUTPUT {args.output} cannot be written: {error.strerror}") from None
    print(checkpoint.format_report(conversion, args.verbose))
    print(f"written: {args.output}")
    if not conversion.is_complete:
        print("incomplete: the file does not fill the model, so nothing can be detected with it")
        return 1
    return 0


main = entry_point(make_parser, run)
