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
from medmask.utils.memory import keep_freed_memory

def resident():
    return int(re.search(r"VmRSS:\\s*(\\d+)", open("/proc/self/status").read())[1]) // 1024

if "keep" in sys.argv:
    keep_freed_memory()
before = resident()
for _ in range(8):
    torch.ones(200, 1 << 18)
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_stays_with_the_process_and_is_used_again():
    def megabytes_more(*options):
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, *options],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(result.stdout)

    assert megabytes_more() < 50
    # Of 2000 in all. Where other memory lies between, an aligned block does not fit into the place
    # of one of its size, and malloc keeps two to five of them.
    assert 200 <= megabytes_more("keep") < 1500
