"""A visitor's file: how large it may be, and what is refused before it costs memory. Nothing is ever unpacked."""

from __future__ import annotations

import threading
from pathlib import Path

from qa_compare.errors import UserError
from qa_compare.files import read_bytes, refuse_packed
from qa_compare.readers import FileCheck, check

MAX_UPLOAD = 20 * 2**20  # bytes
MAX_QUESTIONS = 20_000
# commas, brackets, line ends: 20 MB of `[],[],…` would be 1 GB of lists. SQuAD's 10,570 questions have 0.2 million
MAX_PARTS = 2_000_000
_one_at_a_time = threading.Lock()  # so that many large files at once cost what one does


def check_upload(path: Path) -> FileCheck:
    """As `readers.check_file`, within the limits of an upload.

    Raises:
        UserError: the file as a whole cannot be read, or is over a limit.
    """
    with _one_at_a_time:
        return check(read_upload(path), path.name, most=MAX_QUESTIONS)


def read_upload(path: Path) -> bytes:
    """The bytes of a text file. Raises UserError for one that is missing, too large, packed, or of too many parts."""
    if not path.is_file():  # it lies for an hour; and nobody needs to know where it lay
        raise UserError(f"{path.name} is no longer here: upload it again")
    data = read_bytes(path, MAX_UPLOAD)
    refuse_packed(data, path.name)
    if sum(data.count(part) for part in b",[{\r\n") > MAX_PARTS:
        raise UserError(f"{path.name} holds more than {MAX_PARTS:,} commas, brackets and line ends: it is not read")
    return data
