"""Freed memory is kept, or shared by all threads, where the C library can be told to; nothing is touched elsewhere."""

from __future__ import annotations

import subprocess
import sys

import pytest

from qa_compare.inference import memory
from qa_compare.inference.memory import keep_freed_memory
from tests.places import ROOT

PROGRAM = f"""
import sys, threading
from pathlib import Path
from {memory.__name__} import share_freed_memory

told = share_freed_memory() if sys.argv[1] == "shared" else None
together = threading.Barrier(9)

def work():
    kept = [bytearray(50_000) for _ in range(10)]
    together.wait()
    together.wait()
    del kept

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
together.wait()
# a thread's own arena is a mapping without a file that begins at a multiple of 64 MiB, and can be written at first
maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
plain = [int(line[0].split("-")[0], 16) for line in maps if line[1] == "rw-p" and len(line) == 5]
print(told, sum(begin % 2**26 == 0 for begin in plain))
together.wait()
for thread in threads:
    thread.join()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has arenas")
def test_eight_threads_have_one_arena_beside_the_first_instead_of_eight() -> None:
    def run(how: str) -> list[str]:
        command = [sys.executable, "-c", PROGRAM, how]
        root = ROOT
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split()

    told, shared = run("shared")
    if told == "False":
        pytest.skip("no glibc")
    assert int(shared) == 1
    assert int(run("each its own")[1]) >= 8


KEEP = f"""
import os, sys
from pathlib import Path
from {memory.__name__} import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

told = [keep_freed_memory() for _ in range(int(sys.argv[1]))]
before = resident()
block = bytearray(b"x") * (24 * 2**20)
taken = resident() - before
del block
print(all(told), taken > 20 * 2**20, resident() - before > 20 * 2**20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc can be told to")
def test_freed_memory_is_kept_by_who_asks_for_it_once_or_twice_and_by_nobody_else() -> None:
    def run(times: int) -> list[str]:
        # in a process of its own: the setting stays for the rest of a process
        command = [sys.executable, "-c", KEEP, str(times)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    if run(1)[0] == "False":
        pytest.skip("no glibc")
    assert [run(times) for times in (0, 1, 2)] == [["True", "True", str(times > 0)] for times in (0, 1, 2)]


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_there_is_nothing_to_set_without_glibc(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(memory.sys, "platform", platform)
    assert keep_freed_memory() is False


def test_a_library_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda _name: object())
    assert keep_freed_memory() is False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc can be asked")
def test_freed_memory_goes_back_to_the_system_though_some_behind_it_is_in_use() -> None:
    program = f"""
import os
from pathlib import Path
from {memory.__name__} import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

blocks = [bytearray(2_000) for _ in range(50_000)]
last = bytearray(2_000)
before = resident()
del blocks
kept = resident()
print(give_back(), kept > 0.9 * before, resident() < before - 60_000_000)
"""
    root = ROOT
    run = [sys.executable, "-c", program]
    told, kept, freed = subprocess.run(run, cwd=root, capture_output=True, text=True, check=True).stdout.split()
    if told == "False":
        pytest.skip("no glibc")
    assert (kept, freed) == ("True", "True")
