"""Memory of this process, as large tensors and malloc get it."""

import ctypes
import platform

import torch

import medmask.layers  # noqa: F401  it loads the compiled extension, where there is one

# Numbers of options, from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = -1


def keep_freed_memory() -> None:
    """Have what is freed kept for what is allocated next, instead of returned to the system.

    As it comes, glibc's malloc gets every tensor above 32 MB fresh pages from the kernel and
    returns them with the tensor, and to clear each page can take longer than the arithmetic: a
    fifth of the time of a step on mammograms of 512 pixels. What it keeps of smaller ones it cannot
    use well: with 768 pixels and batches of two a step has 1.1 GB of tensors, and some hundred
    steps on images of ever-changing sizes come to 5 to 10 GB.

    On Linux, with the compiled extension, large tensors of the CPU therefore come from a pool of
    blocks, which keeps half as much again as was ever in use at once
    (``layers/csrc/memory/block_pool.h``). Without the extension malloc is told to keep all, which
    is as fast and costs the memory that is told above. Other C libraries and systems are left as
    they are.
    """
    if _has_extension() and torch.ops.medmask.pool_large_blocks():
        return
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def release_freed_memory() -> None:
    """Return what is freed, and has been kept, to the system once; what comes next is kept."""
    if _has_extension():
        torch.ops.medmask.release_large_blocks()
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _has_extension() -> bool:
    """False also for one that was compiled before it had the pool."""
    return hasattr(torch.ops.medmask, "pool_large_blocks")


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
