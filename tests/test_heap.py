"""What the C library does with large blocks that were freed, seen in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

GROWTH = """
import sys
from batcher.heap import keep_heap_trimmed

def heap():
    with open("/proc/self/maps") as maps:
        spans = [line.split()[0].split("-") for line in maps if line.rstrip().endswith("[heap]")]
    return sum(int(end, 16) - int(begin, 16) for begin, end in spans)

if sys.argv[1] == "trimmed":
    keep_heap_trimmed()
bytearray(8 << 20)  # freed at once: a sign that more of them will come
before = heap()
blocks = [bytearray(1 << 20) for _ in range(8)]
print(heap() - before)
"""


def _growth(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", GROWTH, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's heap moves its thresholds")
def test_large_blocks_stay_out_of_the_heap() -> None:
    assert _growth("as it comes") >= 7 << 20, "nothing to prevent: glibc has changed"
    assert _growth("trimmed") < 1 << 20
