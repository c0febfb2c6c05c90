"""Freed memory is kept where the C library can be told to, and nothing is touched elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from train import memory
from train.memory import keep_freed_memory


def test_keeping_freed_memory_is_harmless_twice() -> None:
    # in a process of its own: the setting stays for the rest of a process
    code = "from train.memory import keep_freed_memory as keep; print(keep(), keep())"
    run = [sys.executable, "-c", code]
    printed = subprocess.run(run, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True).stdout
    first, second = printed.split()
    assert first == second
    assert first in {"True", "False"}


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_there_is_nothing_to_set_without_glibc(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(memory.sys, "platform", platform)
    assert keep_freed_memory() is False


def test_a_library_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda _name: object())
    assert keep_freed_memory() is False
