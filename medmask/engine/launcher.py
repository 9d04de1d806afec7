"""Launching the processes of a run."""

import gc
import os
import socket
from argparse import Namespace
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from detectron2.utils import comm
from torch import distributed

from medmask.engine.local_processes import run_processes
from medmask.errors import InputError
from medmask.utils.counts import counted
from medmask.utils.failures import describe_failure
from medmask.utils.shared_failure import FailedElsewhere


def launch(main: Callable[[Namespace], None], args: Namespace) -> None:
    """Run ``main(args)`` in every process of the run.

    Under torchrun this process is one of them. Otherwise ``args.num_gpus`` processes are started
    on this machine (on its CPU if it has no GPU), and one for 0, of which
    :func:`medmask.engine.device.check_num_gpus` makes sure that it takes no GPU; see
    :func:`run_processes` for how they end.

    Args:
        main: the work of one process.
        args: with ``num_gpus``, ``num_machines``, ``machine_rank`` and ``dist_url``.

    Raises:
        InputError: this machine has fewer GPUs than asked for, a number makes no sense, or several
            machines have no address to meet at; or whatever the first process that failed raised.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _run_under_torchrun(main, args)
        return
    if args.num_gpus < 0:
        raise InputError(f"--num-gpus is {args.num_gpus}: give the number of processes, or 0")
    if not 0 <= args.machine_rank < args.num_machines:
        raise InputError(
            f"--machine-rank is {args.machine_rank} and --num-machines {args.num_machines}: the "
            "machines of a run, 1 or more, have the numbers from 0 on"
        )
    if args.num_machines > 1 and args.dist_url == "auto":
        raise InputError("--num-machines needs --dist-url tcp://HOST:PORT of the first machine")
    available = torch.cuda.device_count()
    if available and args.num_gpus > available:
        raise InputError(
            f"--num-gpus is {args.num_gpus}, but this machine has {counted(available, 'GPU')}"
        )
    count = _num_local_processes(args)
    if count * args.num_machines == 1:
        _run_and_leave_group(main, args)
        return
    address = f"tcp://127.0.0.1:{_free_port()}" if args.dist_url == "auto" else args.dist_url
    run_processes(_join_and_run, count, main, args, address)


def _num_local_processes(args: Namespace) -> int:
    return args.num_gpus or 1  # 0, as with Detectron2, is one process on the CPU


def _join_and_run(
    local_rank: int, main: Callable[[Namespace], None], args: Namespace, address: str
) -> None:
    """Do the work of one of several processes on this machine.

    Raises:
        InputError: the processes do not find each other; or what ``main`` raises.
    """
    count = _num_local_processes(args)
    try:
        _join_group(
            local_rank,
            count,
            init_method=address,
            rank=args.machine_rank * count + local_rank,
            world_size=args.num_machines * count,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"the processes of the run cannot meet at {address} ({reason}): give tcp://HOST:PORT "
            "of the first machine, a free port there, as --dist-url to all machines"
        ) from None
    _run_and_leave_group(main, args)


def _join_group(local_rank: int, local_size: int, **options: Any) -> None:
    use_cuda = torch.cuda.is_available()
    if use_cuda:
        torch.cuda.set_device(local_rank)
    distributed.init_process_group("nccl" if use_cuda else "gloo", **options)
    comm.create_local_process_group(local_size)


def _run_and_leave_group(main: Callable[[Namespace], None], args: Namespace) -> None:
    """Do the work of one process, and leave no thread behind.

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
    """Do the work of one process; torchrun ends the others when it fails.

    Raises:
        SystemExit: with the status of a failure that another process tells the user about.
    """
    try:
        _join_group(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]))
        _run_and_leave_group(main, args)
    except BaseException as error:
        failure = describe_failure(error)
        if isinstance(error, FailedElsewhere):
            raise SystemExit(1) from None
        if failure is not None and not _is_first_to_fail():
            raise SystemExit(failure.status) from None
        raise


def _is_first_to_fail() -> bool:
    """Return True if no other process has failed before; they meet in torchrun's own store."""
    try:
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = distributed.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=5))
        return store.add("medmask/failures", 1) == 1
    except RuntimeError:  # torchrun has ended
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
