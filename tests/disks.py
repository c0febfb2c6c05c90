"""Disks that are read-only or small, mounted for one command alone: nobody else sees them, and they end with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def read_only(*folders: Path | str) -> list[str]:
    """The commands after which nothing can be written below these folders, by root neither."""
    return [
        f"mount --bind '{one}' '{one}' && mount -o remount,ro,bind '{one}'" for one in folders if Path(one).is_dir()
    ]


def small(folder: Path, size: str) -> list[str]:
    """The command that mounts an empty disk in memory over a folder; `size` is such as "300k"."""
    return [f"mount -t tmpfs -o size={size} none '{folder}'"]


def alone(*commands: str) -> list[str]:
    """What a command must begin with to be run after these; skips where no mount can be made."""
    begin = ["unshare", "--map-root-user", "--mount", "sh", "-c", " && ".join([*commands, 'exec "$@"']), "sh"]
    try:
        made = subprocess.run([*begin, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if made.returncode:
        pytest.skip(f"no mount can be made here: {made.stderr.strip()}")
    return begin
