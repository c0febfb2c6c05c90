"""A folder for uploads and exports that can be written, chosen before Gradio is imported: it reads the name then."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qa_compare.errors import UserError

VARIABLE = "GRADIO_TEMP_DIR"
_OURS = "qa-compare"
_HOUR = 3_600.0  # seconds


def writable(folder: Path) -> str | None:
    """Make the folder; None where a file can be written in it, else why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def choose() -> str | None:
    """Let GRADIO_TEMP_DIR name a folder that can be written; a sentence where that is not the one that was meant.

    Raises:
        UserError: there is none on this machine.
    """
    tried: list[str] = []
    for folder in _places():
        reason = writable(folder)
        if reason is None:
            os.environ[VARIABLE] = str(folder)
            if folder.name == _OURS:
                forget(folder)
            return f"uploads and exports lie in {folder}: {'; '.join(tried)}" if tried else None
        tried.append(f"{folder} cannot be written ({reason})")
    raise UserError(f"no folder for uploads and exports: {'; '.join(tried)}. Set {VARIABLE} to one that can be written")


def forget(folder: Path) -> None:
    """Delete what a page that was killed left an hour ago or earlier; a page that runs forgets its own files.

    Only in a folder that is ours, and never by way of a link: where all may write, anybody may have put one.
    """
    if folder.is_symlink() or folder.stat().st_uid != getattr(os, "getuid", lambda: 0)():
        return
    for place in folder.iterdir():
        with suppress(OSError):  # not empty, no folder, or another page that starts now was faster
            if place.is_symlink():
                continue
            for path in place.iterdir():
                if not path.is_dir() and time.time() - path.lstat().st_mtime > _HOUR:
                    path.unlink()
            place.rmdir()


def _places() -> Iterator[Path]:
    if os.environ.get(VARIABLE):
        yield Path(os.environ[VARIABLE])
    with suppress(OSError):  # where there is no temporary folder at all
        yield Path(tempfile.gettempdir()).resolve() / _OURS
    yield Path("/dev/shm") / _OURS  # noqa: S108 - a disk in memory, where every disk is full or read-only
