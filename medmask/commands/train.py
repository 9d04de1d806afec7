"""Train or evaluate a detector that a LazyConfig file describes."""

import argparse

from medmask.commands.entry_point import entry_point, examples_parser
from medmask.commands.options import add_num_gpus
from medmask.errors import InputError

_EXAMPLES = """
examples:
  Train on phantoms; two CPU cores are enough:
    medmask train --config-file configs/medmask/phantom/source_only.py

  Continue after a crash, exactly from the last checkpoint:
    medmask train --config-file ... --resume

  Evaluate a checkpoint on other images:
    medmask train --config-file ... --eval-only \\
        train.init_checkpoint=output/model_best.pth dataloader.test.dataset=phantom_ffdm_val

  The same after adapting BatchNorm statistics to that hospital's images, without their labels:
    medmask train --config-file ... --eval-only \\
        --adapt-batchnorm phantom_ffdm_train train.init_checkpoint=output/model_best.pth \\
        dataloader.test.dataset=phantom_ffdm_val

  Eight GPUs (or torchrun --nproc-per-node 8 -m medmask train ...):
    medmask train --num-gpus 8 --config-file ...

Ctrl-C, SIGTERM or SIGHUP ends a run after the step that is under way; so do a broken image, a dead
worker and the like. What is done is saved, and --resume goes on from it as if nothing had happened.
A second signal ends it at once.

With --resume these settings may change, and no others: train.max_iter, train.device, *.num_workers;
dataloader.test.*, dataloader.evaluator.*, train.eval_period, train.best_metric;
train.held_out_images, train.gradient_norm_period, loss_hooks.*.held_out_stores; train.log_period,
loss_hooks.*.picture_period, loss_hooks.*.num_pictured, train.wandb.*, train.mlflow.*;
train.output_dir, loss_hooks.*.output_dir, train.checkpointer.*.

Every run leaves all keys of its config in config.yaml in its output folder. A folder that holds a
run takes no other, unless --resume or --overwrite says so; two runs at once never share one.
"""


def make_parser() -> argparse.ArgumentParser:
    parser = examples_parser(__doc__, _EXAMPLES)
    parser.add_argument("--config-file", default="", metavar="FILE", help="a LazyConfig file")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--resume",
        dest="mode",
        action="store_const",
        const="resume",
        help="continue from the last checkpoint in train.output_dir, or start if there is none; "
        "below are the settings that may change",
    )
    mode.add_argument(
        "--overwrite",
        dest="mode",
        action="store_const",
        const="overwrite",
        help="replace the run in train.output_dir: its files, and no others, are set aside, and "
        "removed when the first step is complete; if none is, they come back",
    )
    mode.add_argument(
        "--eval-only",
        dest="mode",
        action="store_const",
        const="evaluate",
        help="evaluate train.init_checkpoint, do not train",
    )
    parser.set_defaults(mode="new")
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
    add_num_gpus(parser)
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
    """Train or evaluate, in as many processes as the arguments say."""
    if args.adapt_batchnorm and args.mode != "evaluate":
        raise InputError("--adapt-batchnorm works with --eval-only; it is no part of training")
    if args.adapt_batchnorm and max(args.num_gpus, args.num_machines) > 1:
        raise InputError("--adapt-batchnorm works in one process: leave --num-gpus out")
    from medmask.engine import launch

    launch(run_in_process, args)


def run_in_process(args: argparse.Namespace) -> None:
    """Do the work of one process."""
    from medmask.config import load_config
    from medmask.engine import (
        RunMode,
        check_images,
        check_run,
        evaluate_checkpoint,
        open_run_folder,
        set_up_run,
        train,
    )
    from medmask.engine.device import check_num_gpus, select_device

    mode, adapt_batchnorm_to = RunMode(args.mode), args.adapt_batchnorm
    config = load_config(args.config_file, args.opts, without=_not_needed(args))
    check_run(config, mode, adapt_batchnorm_to)
    check_num_gpus(args.num_gpus, select_device(config.train.device))
    with open_run_folder(config, mode) as folder:
        set_up_run(config, folder)
        if args.check_images:
            check_images(config, mode, adapt_batchnorm_to)
        if mode is RunMode.EVALUATE:
            evaluate_checkpoint(config, adapt_batchnorm_to=adapt_batchnorm_to)
        else:
            train(config, resume=mode is RunMode.RESUME)


def _not_needed(args: argparse.Namespace) -> list[str]:
    """Keys of a ``config.yaml`` without which the run does, as a stage may be the user's own."""
    names_hooks = any(text.lstrip("+").startswith("loss_hooks") for text in args.opts)
    return ["loss_hooks"] if args.mode == "evaluate" and not names_hooks else []


main = entry_point(make_parser, run)
