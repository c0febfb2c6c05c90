"""The fuzzing command runs, counts each of its targets, and shows a case that has another outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import fuzz, fuzz_targets
from benchmarks.fuzz_targets import Source
from tests.places import ROOT

pytestmark = pytest.mark.slow


def test_the_same_bytes_choose_the_same_and_beyond_their_end_there_is_always_something() -> None:
    data = bytes(range(200))
    assert repr(Source(data).value()) == repr(Source(data).value())
    assert Source(b"").value() == ""
    assert Source(b"").question() == {"passage": "", "question": "", "answers": [""]}
    assert Source(b"\x01\x01\x3d\xd8\x00\x00").text() == "\ud83d"


def test_what_is_watched_and_what_is_run_exist() -> None:
    watched = [ROOT / "qa_compare" / f"{name.replace('.', '/')}.py" for name in fuzz.FUZZED]
    run = [ROOT / "tests" / f"{name}.py" for name in fuzz.PROPERTIES]
    assert [path for path in (*watched, *run) if not path.is_file()] == []


def test_every_target_is_tried_and_counted(tmp_path: Path) -> None:
    tally = fuzz.Tally(0, tmp_path / "counts.json")
    for number in range(3 * len(tally.targets)):
        tally.one(bytes([number, *range(number, 120)]))
    tally.write()
    names = "SQuAD JSON,JSONL,CSV,predictions,tokenising and decoding,links,/compare,/predict_batch,/errors,/metrics"
    assert json.loads((tmp_path / "counts.json").read_text()) == dict.fromkeys(names.split(","), 3)
    assert tally.over


def test_a_case_with_another_outcome_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_source: Source) -> None:
        raise KeyError("data")

    monkeypatch.setattr(fuzz_targets, "targets", lambda: {"broken": broken})
    with pytest.raises(KeyError):
        fuzz.by_hypothesis(5, tmp_path / "counts.json")
    assert not (tmp_path / "counts.json").exists()
