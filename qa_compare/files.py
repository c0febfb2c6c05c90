"""Files and folders written so that nothing is lost: beside, then renamed; read, hashed, faults told in a sentence."""

from __future__ import annotations

import codecs
import ctypes
import errno
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from qa_compare.errors import OverLimit, UserError

_REASONS = {
    errno.ENOSPC: "there is no space left on its disk",
    errno.EROFS: "its disk is read-only",
    errno.EACCES: "there is no permission to",
    errno.EPERM: "there is no permission to",
    errno.ENOENT: "there is no such file or folder",
    errno.ENOTDIR: "a part of its path is not a folder",
    errno.EISDIR: "it is a folder",
}
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD; RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
_PACKED = {
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7z",
    b"(\xb5/\xfd": "Zstandard",
    b"Rar!": "RAR",
}
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # .xls
_WORKBOOKS = {".xlsx", ".xlsm", ".ods"}


def _sentence(verb: str, path: Path, error: OSError) -> str:
    reason = _REASONS.get(error.errno or 0, (error.strerror or str(error)).lower())
    return f"{path} cannot be {verb}: {reason}"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to: renamed over it at the end, removed when the block fails.

    Raises:
        UserError: the file cannot be written; what stood at `path` before is still there.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=path.suffix)
    except OSError as error:
        raise UserError(_sentence("written", path, error)) from error
    os.close(descriptor)
    beside = Path(name)
    try:
        # mkstemp makes files private; the result should have the rights that any new file has
        mask = os.umask(0)
        os.umask(mask)
        beside.chmod(0o666 & ~mask)
        yield beside
        synced(beside).replace(path)
    except OSError as error:
        raise UserError(_sentence("written", path, error)) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def replace_folder(new: Path, place: Path) -> None:
    """Put the folder `new` in the place of another, or of none; the other one is removed then.

    Whoever looks sees the one or the other whole, wherever the system can exchange two names (Linux, macOS); elsewhere
    there is neither for an instant, and what a process leaves that is killed in it, `finish_replacing` ends.

    Raises:
        UserError: it cannot be done; both folders are as they were.
    """
    try:
        if not place.exists():
            new.rename(place)
            return
        if _exchanged(new, place):
            shutil.rmtree(new, ignore_errors=True)
            return
        aside = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-old-"))
        shutil.move(place, aside)  # a layered file system does not rename what lies in a lower layer
        new.rename(place)
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise UserError(_sentence("replaced", place, error)) from error


def finish_replacing(new: Path, place: Path) -> None:
    """End what a process left that was killed within `replace_folder`. Raises UserError where it cannot be done."""
    if not place.parent.is_dir():
        return
    asides = list(place.parent.glob(f".{place.name}-old-*"))
    try:
        if asides and new.exists():
            shutil.rmtree(place, ignore_errors=True)  # at most a part of it is still there
            new.rename(place)
        for aside in asides:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise UserError(_sentence("replaced", place, error)) from error


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders' names in one step; False where the system or the disk cannot."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        names = os.fsencode(one), os.fsencode(other)
        if sys.platform == "darwin":
            return bool(library.renamex_np(*names, _EXCHANGE) == 0)
        return bool(library.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0)
    except (AttributeError, OSError, TypeError):
        return False


def synced(path: Path) -> Path:
    """The path of a file whose bytes are on the disk by then, and not only meant for it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return path


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with `\\n` line ends. Raises UserError, and then leaves what was there."""
    with atomic(path) as beside:
        beside.write_bytes(text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented by one, letters as they are. Raises ValueError for NaN and infinity, which are not JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """The file's bytes. Raises UserError where it cannot be read, OverLimit where it is larger than `limit` bytes."""
    try:
        if limit is not None and path.stat().st_size > limit:
            raise OverLimit(
                f"{path.name} has {path.stat().st_size / 2**20:.1f} MB: at most {limit / 2**20:.0f} are read"
            )
        return path.read_bytes()
    except OSError as error:
        raise UserError(_sentence("read", path, error)) from error


def decoded(data: bytes, name: str) -> str:
    """The text of a file: UTF-8, or UTF-16 with its byte order mark. Raises UserError that says how to save it."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, shown = "utf-16", "UTF-16"
    else:
        encoding, shown = "utf-8-sig", "UTF-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        like = _looks_like(data, error.start) if shown == "UTF-8" else ""
        raise UserError(f"{name} is not {shown} text (byte {error.start}){like}: save it as UTF-8") from error


def _looks_like(data: bytes, at: int) -> str:
    """Says which word it is if the byte is a letter in Windows-1252, which older spreadsheets write."""
    before, after = data[max(0, at - 20) : at].split(b" ")[-1], data[at : at + 20].split(b" ")[0]
    with suppress(UnicodeDecodeError):
        if data[at : at + 1].decode("cp1252").isalpha():
            return f"; it looks like Windows-1252 ({(before + after).decode('cp1252')!r})"
    return ""


def as_utf8(data: bytes, name: str) -> bytes:
    """The same text in UTF-8, if it is in UTF-16. Raises UserError where a byte order mark says so and it is not."""
    if not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data
    return decoded(data, name).encode()


def refuse_packed(data: bytes, name: str) -> None:
    """Raise a UserError for an archive or a workbook: nothing is ever unpacked."""
    suffix = Path(name).suffix.lower()
    if data.startswith(_OLD_OFFICE) or (
        data.startswith(b"PK\x03\x04") and (suffix in _WORKBOOKS or b"xl/" in data[:4_096])
    ):
        raise UserError(f"{name} is a spreadsheet's own file: save it as CSV (in UTF-8) and bring that")
    for beginning, kind in _PACKED.items():
        if data.startswith(beginning):
            raise UserError(f"{name} is packed ({kind}): unpack it first")


def parse_json(data: bytes, name: str) -> Any:
    """JSON from UTF-8 bytes, a byte order mark allowed. Raises UserError with line and column, or for deep nesting."""
    text = decoded(data, name)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{name} is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from error
    except RecursionError as error:
        raise UserError(f"{name} is not read: its JSON is nested too deeply") from error
    except ValueError as error:  # for example a number of more digits than Python converts
        raise UserError(f"{name} is not read: {error}") from error


def read_json(path: Path) -> Any:
    """The JSON in a file. Raises UserError that names the file."""
    return parse_json(read_bytes(path), str(path))


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal. Raises UserError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(_sentence("read", path, error)) from error
