#!/usr/bin/env python3
"""Train or evaluate a detector that a LazyConfig file describes."""

import argparse

from medmask.engine import (
    check_images,
    check_run,
    evaluate_checkpoint,
    launch,
    load_config,
    set_up_run,
    train,
)
from medmask.errors import InputError, command_line_tool

_EXAMPLES = """
examples:
  Train on phantoms; two CPU cores are enough:
    python tools/lazyconfig_train_net.py --config-file configs/medmask/phantom/source_only.py

  Continue after a crash, exactly from the last checkpoint:
    python tools/lazyconfig_train_net.py --config-file ... --resume

  Evaluate a checkpoint on other images:
    python tools/lazyconfig_train_net.py --config-file ... --eval-only \\
        train.init_checkpoint=output/model_best.pth dataloader.test.dataset=phantom_ffdm_val

  The same after adapting BatchNorm statistics to that hospital's images, without their labels:
    python tools/lazyconfig_train_net.py --config-file ... --eval-only \\
        --adapt-batchnorm phantom_ffdm_train train.init_checkpoint=output/model_best.pth \\
        dataloader.test.dataset=phantom_ffdm_val

  Eight GPUs (or torchrun --nproc-per-node 8 tools/lazyconfig_train_net.py ...):
    python tools/lazyconfig_train_net.py --num-gpus 8 --config-file ...

Every run leaves all keys of its config in config.yaml in its output folder.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config-file", default="", metavar="FILE", help="a LazyConfig file")
    parser.add_argument(
        "--resume", action="store_true", help="continue from the last checkpoint, if there is one"
    )
    parser.add_argument(
        "--eval-only", action="store_true", help="evaluate train.init_checkpoint, do not train"
    )
    parser.add_argument(
        "--adapt-batchnorm",
        metavar="DATASET",
        help="with --eval-only: first estimate the BatchNorm statistics anew on this data set's "
        "images (AdaBN), and save the model as model_adabn.pth; in one process",
    )
    parser.add_argument(
        "--check-images",
        action="store_true",
        help="first read every image of the run, and name all that are broken",
    )
    parser.add_argument(
        "--num-gpus",
        type=int,
        default=1,
        metavar="N",
        help="processes on this machine, one per GPU (on the CPU if it has none)",
    )
    parser.add_argument("--num-machines", type=int, default=1, metavar="N", help="machines in all")
    parser.add_argument(
        "--machine-rank", type=int, default=0, metavar="I", help="number of this machine, from 0"
    )
    parser.add_argument(
        "--dist-url",
        default="auto",
        metavar="URL",
        help="where the processes meet, such as tcp://HOST:PORT; needed with several machines",
    )
    parser.add_argument(
        "opts",
        nargs="*",
        metavar="KEY=VALUE",
        help="settings of the config; +KEY=VALUE adds a key that it does not have",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """The work of one process."""
    config = load_config(args.config_file, args.opts)
    check_run(config, is_training=not args.eval_only)
    set_up_run(config)
    if args.check_images:
        check_images(config)
    if args.eval_only:
        evaluate_checkpoint(config, adapt_batchnorm_to=args.adapt_batchnorm)
    else:
        train(config, resume=args.resume)


@command_line_tool
def main() -> None:
    args = _parser().parse_intermixed_args()
    if args.adapt_batchnorm and not args.eval_only:
        raise InputError("--adapt-batchnorm works with --eval-only; it is no part of training")
    if args.adapt_batchnorm and args.num_gpus * args.num_machines > 1:
        raise InputError("--adapt-batchnorm works in one process: leave --num-gpus out")
    launch(run, args)


if __name__ == "__main__":
    main()
