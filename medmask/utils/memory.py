"""Memory of this process, as malloc gets it."""

import ctypes
import platform

# Numbers of options, from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = -1


def keep_freed_memory() -> None:
    """Have malloc keep what is freed for what is allocated next, instead of returning it.

    As it comes, glibc's malloc gets every large tensor fresh pages from the kernel and returns them
    with the tensor. To touch each page for the first time can take longer than the arithmetic.
    malloc itself keeps blocks of up to 32 MB, so it is the tensors of full-size images that gain:
    the operator of an encoder takes 13 instead of 22 ms forward at 800 x 1333 pixels, while steps
    on phantoms take as long either way, and 30 steps on mammograms of 512 pixels spend 7 instead of
    19 of their 130 seconds in the kernel.

    It costs memory: malloc may come to keep up to nine blocks of each size. Those 30 steps, on
    images of ever-changing sizes, took 4.3 instead of 4.0 GB, and it grows for some hundred more
    (to 5 to 10 GB with 768 pixels and batches of two): :func:`release_freed_memory` ends that.
    Other C libraries and systems are left as they are.
    """
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def release_freed_memory() -> None:
    """Return what is freed, and has been kept, to the system once; what malloc does next stays."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
