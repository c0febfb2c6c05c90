"""How glibc's allocator treats freed memory.

Training keeps it in the process: every large tensor otherwise goes back to the kernel and is paged in anew. The page,
which has many threads, keeps it in few places: each thread otherwise has one of its own, as large as the largest batch
that it ever answered.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time

# mallopt's parameters, from glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_M_ARENA_MAX = -8
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc refuses more


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to reuse freed blocks of up to 32 MiB. False where there is no glibc; harmless twice."""
    return _set({_M_MMAP_THRESHOLD: _LARGEST_MMAP_THRESHOLD, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 64 * 2**20})


def share_freed_memory(arenas: int = 2) -> bool:
    """Let all threads that start from now on share so many arenas. False where there is no glibc."""
    return _set({_M_ARENA_MAX: arenas})


def give_back() -> bool:
    """Hand freed memory back to the system now. False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0) in (0, 1))
    except (OSError, AttributeError):
        return False


def keep_giving_back(seconds: float = 20.0) -> None:
    """Do so again and again beside whatever the process does: what a large batch took is not needed a moment later."""

    def work() -> None:
        while give_back():
            time.sleep(seconds)

    threading.Thread(target=work, name="give back", daemon=True).start()


def _set(settings: dict[int, int]) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    results = [mallopt(parameter, value) for parameter, value in settings.items()]
    return all(result == 1 for result in results)
