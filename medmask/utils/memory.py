"""How this process gets its memory."""

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
    Training allocates the same sizes again in each step, so what is kept stops growing after the
    first ones. Other C libraries and systems are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
