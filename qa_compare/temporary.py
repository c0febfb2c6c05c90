"""A folder for uploads and exports that can be written, chosen before Gradio is imported: it reads the name then."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

VARIABLE = "GRADIO_TEMP_DIR"
KEPT = 3_600  # seconds that a visitor's file stays
_OURS = re.compile(r"[0-9a-f]{64}|tmp\w+")  # a folder named after its file's bytes; a file that is being received
_NAME = "qa-compare"  # a folder of our own, of which old files are removed: others' Gradio pages keep theirs
_NOWHERE = f"/nonexistent/{_NAME}"


def writable(folder: Path) -> str | None:
    """Make the folder; None where a file can be written in it, else why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(b"\0" * 4_096)  # a full disk still takes an empty file
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def choose() -> str | None:
    """Let GRADIO_TEMP_DIR name a folder of our own that can be written; a sentence where it lies elsewhere than meant.

    It lies in the folder that GRADIO_TEMP_DIR named before, else in the system's. Where there is none on this machine,
    the page is served without uploads and exports.
    """
    tried: list[str] = []
    for place in _places():
        folder = place if place.name == _NAME else place / _NAME
        reason = writable(folder)
        if reason is None:
            os.environ[VARIABLE] = str(folder)
            return f"uploads and exports lie in {folder}: {'; '.join(tried)}" if tried else None
        tried.append(f"{folder} cannot be written ({reason})")
    os.environ.setdefault(VARIABLE, _NOWHERE)
    return f"uploads and exports are off: {'; '.join(tried)}. Set {VARIABLE} to a folder that can be written"


def _places() -> Iterator[Path]:
    if os.environ.get(VARIABLE):
        yield Path(os.environ[VARIABLE])
    with suppress(OSError):  # where there is no temporary folder at all
        yield Path(tempfile.gettempdir()).resolve()
    yield Path("/dev/shm")  # noqa: S108 - a disk in memory, where every disk is full or read-only


def sweep(folder: Path, age: float = KEPT) -> None:
    """Remove what visitors left there more than `age` seconds ago: a page that was killed could not.

    While it runs, a page removes its own; nothing is touched that does not have the name of such a file.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                if _OURS.fullmatch(path.name) and time.time() - path.lstat().st_mtime > age:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
