"""A folder for uploads is found wherever one can be written, and what was meant is named where it cannot."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from qa_compare import temporary
from qa_compare.errors import UserError
from qa_compare.temporary import VARIABLE, choose


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A place in which nothing can be written, by root neither: a file stands where its folder should."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "folder"


def test_the_folder_that_is_set_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "new"))
    assert choose() is None
    assert os.environ[VARIABLE] == str(tmp_path / "new")


def test_another_is_taken_and_named_where_that_one_cannot_be_written(
    tmp_path: Path, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(nowhere))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    said = choose()
    assert said == f"uploads and exports lie in {tmp_path}/qa-compare: {nowhere} cannot be written (not a directory)"
    assert os.environ[VARIABLE] == f"{tmp_path}/qa-compare"


def test_what_a_killed_page_left_an_hour_ago_is_deleted_in_our_own_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    left = {}
    for place in (tmp_path / "qa-compare", tmp_path / "another"):
        for name, age in (("old", 3_700), ("new", 3_500)):
            path = place / (name * 20) / "mine.json"
            path.parent.mkdir(parents=True)
            path.write_text("{}")
            os.utime(path, (time.time() - age,) * 2)
            left[place.name, name] = path
    (tmp_path / "qa-compare" / "link").symlink_to(left["another", "old"].parent)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "another"))
    choose()
    monkeypatch.delenv(VARIABLE)
    choose()
    assert [name for name, path in left.items() if not path.exists()] == [("qa-compare", "old")]
    assert not left["qa-compare", "old"].parent.exists()


def test_without_any_one_sentence_says_what_to_set(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setenv(VARIABLE, str(nowhere))
    monkeypatch.setattr("tempfile.gettempdir", none)
    monkeypatch.setattr(temporary, "writable", lambda folder: "read-only file system")
    with pytest.raises(UserError, match=r"no folder for uploads and exports: .*/dev/shm/.* Set GRADIO_TEMP_DIR to one"):
        choose()
