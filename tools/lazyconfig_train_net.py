#!/usr/bin/env python3
"""Train or evaluate a detector that a LazyConfig file describes."""

from argparse import ArgumentParser, Namespace

from detectron2.engine import default_argument_parser

from medmask.engine import evaluate_checkpoint, launch, load_config, set_up_run, train
from medmask.errors import command_line_tool

EXAMPLES = """
Examples:

Train on the phantoms, two CPU cores are enough:
    $ python tools/lazyconfig_train_net.py --config-file configs/medmask/phantom/source_only.py

Continue after a crash, exactly where the last checkpoint was written:
    $ python tools/lazyconfig_train_net.py --config-file ... --resume

Evaluate a checkpoint on other images:
    $ python tools/lazyconfig_train_net.py --config-file ... --eval-only \\
        train.init_checkpoint=output/model_best.pth dataloader.test.dataset=phantom_ffdm_val

Eight GPUs (or torchrun --nproc-per-node 8 tools/lazyconfig_train_net.py ...):
    $ python tools/lazyconfig_train_net.py --num-gpus 8 --config-file ...

Any key of the config can be set: key=value; +key=value adds one that the config does not have.
All keys are in config.yaml, which every run leaves in its output folder.
"""


def get_parser() -> ArgumentParser:
    return default_argument_parser(epilog=EXAMPLES)


def run(args: Namespace) -> None:
    config = load_config(args.config_file, args.opts)
    set_up_run(config, args)
    if args.eval_only:
        evaluate_checkpoint(config)
    else:
        train(config, resume=args.resume)


@command_line_tool
def main() -> None:
    launch(run, get_parser().parse_args())


if __name__ == "__main__":
    main()
