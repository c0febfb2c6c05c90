"""Nothing half-written, nothing lost, and every fault of a disk in a sentence."""

from __future__ import annotations

import errno
import hashlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qa_compare import files
from qa_compare.errors import UserError
from qa_compare.files import (
    atomic,
    finish_replacing,
    parse_json,
    read_bytes,
    read_json,
    replace_folder,
    sha256,
    write_json,
    write_text,
)


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError(errno.ENOSPC, "full")])
def test_a_block_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path, old: str | None, error: Any) -> None:
    path = tmp_path / "file.json"
    if old:
        path.write_text(old)
    before = {one.name: one.read_text() for one in tmp_path.iterdir()}
    with pytest.raises((RuntimeError, KeyboardInterrupt, UserError)), atomic(path) as beside:  # noqa: PT012
        beside.write_text("half")
        raise error
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == before


def test_the_file_appears_only_when_the_block_is_done(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_text("old")
    with path.open() as reader:  # who reads the old one goes on reading it
        with atomic(path) as beside:
            beside.write_text("new")
            assert (beside.parent, beside.suffix) == (tmp_path, ".safetensors")
            assert path.read_text() == "old"
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_its_bytes_are_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a machine that is switched off could leave an empty file under the name of the old one."""
    synced: list[tuple[bytes, bool]] = []
    path, sync = tmp_path / "file.json", os.fsync

    def note(descriptor: int) -> None:
        synced.append((os.pread(descriptor, 99, 0), path.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_text(path, "text")
    assert synced == [(b"text", False)]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_file_has_the_rights_of_any_new_file(
    tmp_path: Path, umask: Callable[[int], int], mask: int, mode: int
) -> None:
    umask(mask)
    write_text(tmp_path / "file.md", "text")
    assert (tmp_path / "file.md").stat().st_mode & 0o777 == mode
    assert os.umask(mask) == mask


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
def test_nan_and_infinity_are_refused_and_the_old_file_stays(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, value)
    assert read_json(path) == {"old": 1}


def test_json_is_utf_8_with_letters_as_they_are(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"a": "Łódź\n東京"})
    assert (tmp_path / "file.json").read_bytes() == '{\n "a": "Łódź\\n東京"\n}\n'.encode()
    assert read_json(tmp_path / "file.json") == {"a": "Łódź\n東京"}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere/file.json", "there is no such file or folder"),
        ("file/inside.json", "a part of its path is not a folder"),
        ("folder", "it is a folder"),
    ],
)
def test_where_nothing_can_be_written_one_sentence_says_why(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError) as error:
        write_json(tmp_path / name, {})
    assert str(error.value) == f"{tmp_path / name} cannot be written: {sentence}"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "there is no space left on its disk"),
        (errno.EROFS, "its disk is read-only"),
        (errno.EACCES, "there is no permission to"),
        (errno.ENAMETOOLONG, "file name too long"),
    ],
)
def test_a_disk_that_refuses_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    def refuse(**_options: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(UserError, match=rf"file\.json cannot be written: {sentence}$"):
        write_json(tmp_path / "file.json", {})


@pytest.mark.parametrize("read", [read_bytes, read_json, sha256])
@pytest.mark.parametrize(
    ("name", "sentence"), [("nowhere", "there is no such file or folder"), (".", "it is a folder")]
)
def test_what_cannot_be_read_is_a_sentence(
    tmp_path: Path, read: Callable[[Path], Any], name: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=f"cannot be read: {sentence}$"):
        read(tmp_path / name)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"x" * (3 * 2**20))
    assert len(read_bytes(path, 3 * 2**20)) == 3 * 2**20
    with pytest.raises(UserError, match=r"^file\.json has 3\.0 MB: at most 2 are read$"):
        read_bytes(path, 2 * 2**20)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"a": 1,\n "b" 2}', r"^x is not JSON: Expecting ':' delimiter \(line 2, column 6\)$"),
        (b'"\xff"', r"^x is not UTF-8 text \(byte 1\); it looks like Windows-1252 .*: save it as UTF-8$"),
        (b"[" * 100_000, "^x is not read: its JSON is nested too deeply$"),
        (b"9" * 5_000, "^x is not read: Exceeds the limit"),
    ],
)
def test_what_is_not_json_is_a_sentence_with_its_place(data: bytes, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_json(data, "x")


def test_a_byte_order_mark_is_no_fault() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}', "x") == {"a": 1}


def test_sha256_is_the_hash_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5_000
    (tmp_path / "file").write_bytes(data)
    assert sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def two_folders(folder: Path) -> tuple[Path, Path]:
    """A new one, to take the place of an old one that has a file more."""
    for name, members in (("new", ("weights",)), ("old", ("weights", "scores"))):
        (folder / name).mkdir()
        for member in members:
            (folder / name / member).write_text(name)
    return folder / "new", folder / "old"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchanged", "renamed twice"])
def test_a_folder_takes_the_place_of_another_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    new, old = two_folders(tmp_path)
    replace_folder(new, old)
    assert contents(old) == {"weights": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    replace_folder(old, tmp_path / "elsewhere")
    assert contents(tmp_path / "elsewhere") == {"weights": "new"}


def test_there_is_a_whole_folder_at_every_moment_of_an_exchange(tmp_path: Path) -> None:
    new, old = two_folders(tmp_path)
    if not files._exchanged(new, old):
        pytest.skip("this disk cannot exchange two names")
    assert (contents(new), contents(old)) == ({"weights": "old", "scores": "old"}, {"weights": "new"})


@pytest.mark.parametrize("step", [1, 2, 3])
def test_what_is_killed_between_two_renames_is_ended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed behind the first rename, behind the second, and while the old folder was being moved file by file."""
    new, old = two_folders(tmp_path)
    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    real = files.shutil.move

    def killed(*_args: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    def moved(one: Path, other: Path) -> None:
        if step == 3:
            (one / "scores").unlink()
        else:
            real(one, other)
        raise KeyboardInterrupt

    if step == 2:
        monkeypatch.setattr(files.shutil, "rmtree", killed)
    else:
        monkeypatch.setattr(files.shutil, "move", moved)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(new, old)
    monkeypatch.undo()
    finish_replacing(new, old)
    assert contents(old) == {"weights": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_there_is_nothing_to_end_where_nothing_was_killed(tmp_path: Path) -> None:
    new, old = two_folders(tmp_path)
    finish_replacing(new, old)
    finish_replacing(new, tmp_path / "nowhere" / "at all")
    assert contents(old) == {"weights": "old", "scores": "old"}
    assert new.is_dir()
