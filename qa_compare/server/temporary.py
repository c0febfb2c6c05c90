"""A folder for uploads and exports that can be written, chosen before Gradio is imported: it reads the name then."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from qa_compare.errors import UserError

VARIABLE = "GRADIO_TEMP_DIR"
KEPT = 3_600  # seconds that a visitor's file stays
_GIVEN_UP = 60  # seconds without another byte
# how Gradio names the folder of a file, after its bytes, and a file that is still being received
_WHOLE, _PART = re.compile("[0-9a-f]{64}"), re.compile(r"tmp\w+")
_NAME = "qa-compare"  # a folder of our own, of which old files are removed: others' Gradio pages keep theirs
_MEMORY = Path("/dev/shm")  # noqa: S108 - for where every disk is full or read-only
_NOWHERE = "/nonexistent"


def writable(folder: Path) -> str | None:
    """Make the folder; None where a file can be written in it, else why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(b"\0" * 4_096)  # a full disk still takes an empty file
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def settle() -> None:
    """Name some temporary folder where the system has none: libraries ask for its name when they are imported."""
    try:
        tempfile.gettempdir()
    except OSError:
        tempfile.tempdir = _NOWHERE if writable(_MEMORY) else str(_MEMORY)


def choose() -> str | None:
    """Let GRADIO_TEMP_DIR name a folder of our own that can be written; a sentence where it lies elsewhere than meant.

    It lies in the folder that GRADIO_TEMP_DIR named before, else in the system's.

    Raises:
        UserError: there is none on this machine.
    """
    settle()
    tried: list[str] = []
    for place in _places():
        folder = place if place.name == _NAME else place / _NAME
        reason = writable(folder)
        if reason is None:
            os.environ[VARIABLE] = str(folder)
            return f"uploads and exports lie in {folder}: {'; '.join(tried)}" if tried else None
        tried.append(f"{folder} cannot be written ({reason})")
    raise UserError(f"no folder for uploads and exports: {'; '.join(tried)}. Set {VARIABLE} to one that can be written")


def _places() -> Iterator[Path]:
    if os.environ.get(VARIABLE):
        yield Path(os.environ[VARIABLE])
    if (usual := tempfile.gettempdir()) != _NOWHERE:
        yield Path(usual).resolve()
    yield _MEMORY


def sweep(folder: Path) -> None:
    """Remove what nobody will ask for there: files an hour after they came, and what has not grown for a minute.

    A page removes what was brought to it; not what a killed one had, nor an upload whose visitor went away meanwhile.
    Nothing is touched that does not have the name of such a file, nor by way of a link: anybody may have put one there.
    """
    if folder.is_symlink():
        return
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError):
                idle = time.time() - path.lstat().st_mtime
                if _WHOLE.fullmatch(path.name) and idle > KEPT:
                    shutil.rmtree(path)
                elif _PART.fullmatch(path.name) and idle > _GIVEN_UP:
                    path.unlink()


def keep_tidy() -> None:
    """Sweep the chosen folder now, and every minute beside whatever the process does."""
    folder = Path(os.environ[VARIABLE])

    def work() -> None:
        while True:
            sweep(folder)
            time.sleep(60)

    threading.Thread(target=work, name="sweep", daemon=True).start()
