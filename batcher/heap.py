"""How the C library keeps memory that was freed."""

from __future__ import annotations

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_THRESHOLD = 128 << 10
"""Bytes; what both thresholds are at first, see mallopt(3)."""


def keep_heap_trimmed() -> None:
    """Let large blocks go back to the system as soon as they are freed, in a process that is the program's alone.

    glibc takes a large block that is freed for a sign that more of its size will come: from then on it cuts such blocks
    out of its heap, and keeps up to twice their size free at the heap's end. What lives longer comes to lie between
    them, so a run of some hours would slowly grow, by megabytes. Naming the thresholds stops them from moving.
    Elsewhere than in glibc nothing is done.
    """
    try:
        import ctypes  # noqa: PLC0415 - a Python that was built without libffi has none

        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, AttributeError, OSError, TypeError):  # or another C library, or one that is linked statically
        return
    for name in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
        mallopt(name, _THRESHOLD)
