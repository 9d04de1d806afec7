import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import re, sys
import torch
from medmask.utils.memory import keep_freed_memory, release_freed_memory

def resident():
    return int(re.search(r"VmRSS:\\s*(\\d+)", open("/proc/self/status").read())[1]) // 1024

if "keep" in sys.argv:
    keep_freed_memory()
before = resident()
for _ in range(24):
    torch.ones(200, 1 << 18)
if "release" in sys.argv:
    release_freed_memory()
print(resident() - before)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")


def megabytes_more(*options):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *options],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(result.stdout)


def test_freed_memory_stays_with_the_process_and_is_used_again():
    assert megabytes_more() < 50
    # Of 4800 in all. malloc parts an aligned block from what lies before it, so that the place may
    # be too small for the next one of its size; seven such rests fill a bin of its cache, and from
    # then on every block is used again.
    assert 200 <= megabytes_more("keep") < 2100


def test_what_has_been_kept_can_be_returned():
    assert megabytes_more("keep", "release") < 50
