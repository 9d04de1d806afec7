"""Starting the processes of a run."""

import gc
import os
from argparse import Namespace
from collections.abc import Callable

import torch
from detectron2.engine import launch as detectron2_launch
from detectron2.utils import comm
from torch import distributed

from medmask.errors import InputError


def launch(main: Callable[[Namespace], None], args: Namespace) -> None:
    """Run ``main(args)`` in every process of the run.

    Under torchrun this process is one of them. Otherwise ``args.num_gpus`` processes are started
    on this machine (on its CPU if it has no GPU), as Detectron2 does.

    Args:
        main: the work of one process.
        args: with ``num_gpus``, ``num_machines``, ``machine_rank`` and ``dist_url``.

    Raises:
        InputError: this machine has fewer GPUs than asked for, or several machines have no address
            to meet at.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _run_under_torchrun(main, args)
        return
    if args.num_machines > 1 and args.dist_url == "auto":
        raise InputError("--num-machines needs --dist-url tcp://HOST:PORT of the first machine")
    available = torch.cuda.device_count()
    if available and args.num_gpus > available:
        raise InputError(f"--num-gpus is {args.num_gpus}, but this machine has {available} GPUs")
    detectron2_launch(
        _run_and_leave_group,
        max(args.num_gpus, 1),
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(main, args),
    )


def _run_and_leave_group(main: Callable[[Namespace], None], args: Namespace) -> None:
    """The work of one process, which leaves no thread behind.

    A process that ends while gloo's threads still hold the tensors of its last collective may
    abort: they want the interpreter to free them. The threads end with the last reference to their
    group, and Detectron2 keeps references of its own.
    """
    try:
        main(args)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
            comm._get_global_gloo_group.cache_clear()
            comm._LOCAL_PROCESS_GROUP = None
            gc.collect()


def _run_under_torchrun(main: Callable[[Namespace], None], args: Namespace) -> None:
    use_cuda = torch.cuda.is_available()
    if use_cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if use_cuda else "gloo")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    _run_and_leave_group(main, args)
