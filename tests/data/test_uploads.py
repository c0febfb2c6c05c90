"""A visitor's file within its limits; what is over them is refused before it costs memory."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from qa_compare.data import readers
from qa_compare.data.examples import to_squad
from qa_compare.data.readers import MAX_PARTS, MAX_QUESTIONS, MAX_UPLOAD, check, check_upload
from qa_compare.errors import UserError
from qa_compare.workbench import table
from tests import tiny

pytestmark = pytest.mark.slow

HEAD = b"passage,question\n"
ROOM = 256 * 2**20  # bytes a refusal may cost at most, the 20 MB that were read included


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        check_upload(path)
    return str(error.value)


def test_a_file_within_the_limits_is_read_as_any_other(tmp_path: Path) -> None:
    content = json.dumps(to_squad(tiny.examples(3))).encode()
    assert check_upload(written(tmp_path, "f.json", content)).examples == tiny.examples(3)


def test_a_file_of_more_than_20_mb_is_not_opened(tmp_path: Path) -> None:
    path = written(tmp_path, "f.json", b"")
    os.truncate(path, MAX_UPLOAD + 1)  # takes no room on the disk
    assert refusal(path) == "f.json has 20.0 MB: at most 20 are read"


def test_a_file_that_was_deleted_is_named_without_its_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / "mine.json") == "mine.json is no longer here: upload it again"


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("f.json", content)
    return file.getvalue()


@pytest.mark.parametrize("name", ["f.json", "f.csv", "f.jsonl", "f.zip"])
@pytest.mark.parametrize(
    ("pack", "kind"),
    [(zipped, "ZIP"), (gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz")],
)
def test_a_packed_file_is_refused_by_its_kind_and_never_unpacked(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes], kind: str
) -> None:
    path = written(tmp_path, name, pack(b"0" * 2**22))
    assert refusal(path) == f"{name} is packed ({kind}): unpack it first"


@pytest.mark.parametrize("row", [b"a b,b\n", b"a b,\n"], ids=["good", "bad"])
def test_of_20000_questions_all_are_read_and_of_one_more_none(tmp_path: Path, row: bytes) -> None:
    found = check_upload(written(tmp_path, "f.csv", HEAD + row * MAX_QUESTIONS))
    assert len(found.examples) + len(found.problems) == MAX_QUESTIONS
    path = written(tmp_path, "f.csv", HEAD + row * (MAX_QUESTIONS + 1))
    assert refusal(path) == "f.csv holds more than 20,000 questions: split it into smaller files"


def test_who_reads_a_file_of_their_own_has_no_such_limit() -> None:
    assert len(check(HEAD + b"a b,b\n" * (MAX_QUESTIONS + 1), "f.csv").examples) == MAX_QUESTIONS + 1


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv"])
def test_rows_of_every_form_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str) -> None:
    monkeypatch.setattr(readers, "MAX_QUESTIONS", 2)
    rows = {
        "json": json.dumps({"data": [{}, {"paragraphs": [{}, {"qas": [{}]}]}]}),
        "jsonl": "1\n{\n{}",
        "csv": "passage,question\na,b,c\na,b\na",
    }
    assert "more than 2 questions" in refusal(written(tmp_path, f"f.{suffix}", rows[suffix].encode()))


ALPHABET = [bytes([letter]) for letter in b"abcdefghijklmnopqrstuvwxy" for _ in range(20)]
LETTERS = b'","'.join(sorted(set(ALPHABET)))
BOMBS = {
    "lists": ("f.json", b'{"data":[' + b"[]," * (MAX_UPLOAD // 3 - 4) + b"[]]}"),
    "objects": ("f.json", b'{"data":[' + b"{}," * (MAX_UPLOAD // 3 - 4) + b"{}]}"),
    "texts": ("f.json", b'{"data":[' + b'"ab",' * (MAX_UPLOAD // 5 - 4) + b'"a"]}'),
    "nesting": ("f.json", b"[" * MAX_PARTS),
    "objects within objects": ("f.json", b'{"a":' * MAX_PARTS),
    "lines": ("f.jsonl", b"12\n" * (MAX_UPLOAD // 3)),
    "nested lines, a problem each": ("f.jsonl", (b"[" * 99_999 + b"\n") * 20),
    "rows": ("f.csv", HEAD + b"a\n" * (MAX_UPLOAD // 2 - 20)),
    "columns": ("f.csv", b"," * MAX_UPLOAD),
    "places of gold answers": (
        "f.jsonl",
        b"".join(
            b'{"passage":"%s","question":"q","answers":["%s"]}\n' % (b" ".join(ALPHABET) + b" z%d" % row, LETTERS)
            for row in range(17_000)
        ),
    ),
    "places in one long passage": (
        "f.json",
        b'{"data":[{"paragraphs":[{"context":"%s","qas":[%s]}]}]}'
        % (b"a " * 99_999, b",".join([b'{"question":"q","answers":["a","a a","b"]}'] * 15_000)),
    ),
    "as many parts as are let in": ("f.json", b'{"data":[' + b"{}," * (MAX_PARTS // 2 - 4) + b"{}]}"),
    "as many columns as are let in": ("f.csv", HEAD.strip() + b"," * (MAX_PARTS - 10) + b"\n"),
}
# In a process of its own, whose address space may grow by so much: what needs more dies of MemoryError
READ = f"""
import resource, sys
from pathlib import Path
from {UserError.__module__} import UserError
from {readers.__name__} import check_upload
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[2:]:
    try:
        print("read", len(check_upload(Path(path)).problems))
    except UserError as error:
        print(error)
"""


def spent() -> float:
    """The seconds that processors gave to what this process has started, whatever else they were busy with."""
    children = os.times()
    return children.children_user + children.children_system


@pytest.mark.skipif(sys.platform != "linux", reason="address spaces are limited as Linux does")
def test_what_would_grow_in_memory_is_refused_before_it_does(tmp_path: Path) -> None:
    paths = []
    for number, (name, content) in enumerate(BOMBS.values()):
        (tmp_path / str(number)).mkdir()
        paths.append(written(tmp_path / str(number), name, content))
    begin = spent()
    done = subprocess.run(
        [sys.executable, "-c", READ, str(ROOM), *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert len(lines) == len(BOMBS)
    for line, (name, _content) in zip(lines, BOMBS.values(), strict=True):
        assert line.startswith((name, "read ")), line
    assert spent() - begin < 60


def test_an_id_is_found_for_every_row_without_trying_taken_ones_again() -> None:
    rows = [f"a b,b,row-{number}" for number in range(10_001, 20_001)] + ["a b,b,"] * 10_000
    begin = time.process_time()
    found = check(b"passage,question,id\n" + "\n".join(rows).encode(), "f.csv").examples
    assert len({example.id for example in found}) == 20_000
    assert time.process_time() - begin < 5


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b'{"q0": "a"}'), b"[" * (MAX_PARTS + 1), b'{"q0":' * 5_000],
    ids=["packed", "in many parts", "deep"],
)
def test_a_predictions_file_has_the_same_limits(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"^f\.json "):
        table.from_file(written(tmp_path, "f.json", content), tiny.examples(1))
