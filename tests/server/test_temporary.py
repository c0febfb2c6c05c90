"""A folder for uploads is found wherever one can be written, and what was meant is named where it cannot."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from qa_compare.errors import UserError
from qa_compare.server import temporary
from qa_compare.server.temporary import VARIABLE, choose, sweep


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A place in which nothing can be written, by root neither: a file stands where its folder should."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "folder"


def test_a_folder_of_our_own_is_made_in_the_one_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "new"))
    for _ in range(2):  # whoever inherits the choice makes the same one
        assert choose() is None
        assert os.environ[VARIABLE] == f"{tmp_path}/new/qa-compare"


def test_another_is_taken_and_named_where_that_one_cannot_be_written(
    tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(nowhere))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    said = choose()
    taken = f"{tmp_path}/qa-compare"
    assert said == f"uploads and exports lie in {taken}: {nowhere}/qa-compare cannot be written (not a directory)"
    assert os.environ[VARIABLE] == taken


def test_without_any_one_sentence_says_what_to_set_and_libraries_have_a_name(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(nowhere)])
    monkeypatch.setattr(temporary, "writable", lambda folder: "read-only file system")
    with pytest.raises(UserError, match=r"no folder for uploads and exports: /dev/shm/.* Set GRADIO_TEMP_DIR to one"):
        choose()
    assert tempfile.gettempdir()  # which raised before


def test_what_was_left_is_removed_after_its_time_and_nothing_else(tmp_path: Path) -> None:
    now = time.time()
    ages = {"a" * 64: 3_700, "b" * 64: 3_000, "tmpabc_12": 70, "tmpdef_34": 0, "notes": 9_999, "c" * 63: 9_999}
    for name, age in ages.items():
        path = tmp_path / name
        if name.startswith("tmp"):
            path.touch()
        else:
            path.mkdir()
            (path / "rivers.json").touch()
        os.utime(path, (now - age, now - age))
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(ages) - {"a" * 64, "tmpabc_12"}
    sweep(tmp_path / "nowhere")
