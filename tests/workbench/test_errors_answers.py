"""The error inspection's columns: answers that are missing, saved, or another system's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest

from qa_compare.data.examples import fingerprint, to_squad
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.inference.decoding import Prediction
from qa_compare.inference.engine import Cancelled, Engine
from qa_compare.page import errors_tab as handlers
from qa_compare.page.errors_tab import _answering, _begin
from qa_compare.page.stopping import Tasks
from qa_compare.runs import store
from qa_compare.workbench.answers import AT_ONCE, Inspector
from qa_compare.workbench.service import SQUAD, UPLOAD
from qa_compare.workbench.table import Filter, select
from tests import batch_fixture, measured, tiny
from tests.measured import filled, never, visible, wanted

asked, inspector, rivers = measured.asked, measured.inspector, batch_fixture.rivers


def refreshed(inspector: Inspector, upload: str, trouble: str = "", source: str = UPLOAD) -> list[Any]:
    return handlers.refresh(inspector, inspector.service.backbone, source, upload, [], [], trouble, "")


def test_missing_answers_are_found_with_progress_and_once(
    inspector: Inspector, rivers: str, asked: list[tuple[str, int]]
) -> None:
    told = list(inspector.compute(wanted(inspector, rivers), never))
    assert [(one.done, one.total, one.label) for one in told[:3]] == [
        (0, 36, "Base"),
        (12, 36, "Base"),
        (12, 36, "LoRA"),
    ]
    assert told[-1].done == 36
    assert told[0].left is None
    assert asked == [("base", 12), ("lora", 12), ("prompt-tuning", 12)]
    view = inspector.view(wanted(inspector, rivers))
    assert view.missing == ()
    assert view.table
    assert [one.name for one in view.table.columns] == ["base", "lora", "prompt-tuning"]
    filled(inspector, rivers)
    assert len(asked) == 3
    assert inspector.view(wanted(inspector, rivers)).table is view.table


def test_cancelling_keeps_what_was_answered_and_goes_on_from_there(
    inspector: Inspector, tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    write_json(tmp_path / "many.json", to_squad(tiny.examples(150)))
    want = wanted(inspector, str(tmp_path / "many.json"))
    with pytest.raises(Cancelled):
        for _ in inspector.compute(want, lambda: len(asked) == 2):
            pass
    assert asked == [("base", 16), ("base", 32)]
    rest = list(inspector.compute(want, never))
    assert (rest[0].done, rest[-1].done) == (48, 450)
    assert sum(count for variant, count in asked if variant == "base") == 150


def test_choosing_other_questions_ends_the_answers_to_these_without_a_word(
    inspector: Inspector, rivers: str, asked: list[tuple[str, int]]
) -> None:
    visitor = gr.Request(session_hash="one")
    tasks = Tasks()
    run = _answering(inspector, tasks, at_once=True)
    answering = run(inspector.service.backbone, UPLOAD, rivers, [], [], visitor)
    next(answering)
    next(answering)
    _begin(tasks)(handlers.Wish(turn=1, anew=True), visitor)
    rest = list(answering)
    assert len(asked) <= 1
    assert all(one == gr.skip() for update in rest for one in update)
    *_, last = run(inspector.service.backbone, UPLOAD, rivers, [], [], visitor)
    assert "36 of 36" in visible(last[0])


def test_few_questions_are_answered_at_once_and_many_when_asked(inspector: Inspector, tmp_path: Path) -> None:
    write_json(tmp_path / "many.json", to_squad(tiny.examples(AT_ONCE + 1)))
    where = (inspector, inspector.service.backbone, UPLOAD, str(tmp_path / "many.json"), [], [], never)
    assert len(list(handlers.answer(*where, at_once=True))) == 1
    steps = list(handlers.answer(*where, at_once=False))
    assert "Loading the models" in steps[0][0]
    assert visible(steps[-1][0]) == "Prompt tuning: 771 of 771 answers, about 0 s left"
    assert len(list(handlers.answer(*where, at_once=False))) == 1


def test_a_cancelled_or_failed_pass_says_so(inspector: Inspector, rivers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where = (inspector, inspector.service.backbone, UPLOAD, rivers, [], [])
    *_, last = handlers.answer(*where, lambda: True, at_once=True)
    assert last[3].startswith("Cancelled: what was answered is kept")

    def broken(_engine: Engine, _examples: Any, variant: str, **_options: Any) -> list[Prediction]:
        raise UserError(f"{variant} is <broken>")

    monkeypatch.setattr(Engine, "predict", broken)
    *_, last = handlers.answer(*where, never, at_once=True)
    assert last[3] == "base is <broken>; lora is <broken>; prompt-tuning is <broken>"
    note = refreshed(inspector, rivers, last[3])[0]
    assert 'role="alert"' in note
    assert "base is &lt;broken&gt;" in note


def test_saved_answers_are_shown_without_asking_a_model(
    inspector: Inspector, rivers: str, asked: list[tuple[str, int]]
) -> None:
    rows = tiny.examples(12)
    engine = inspector.service.engines[inspector.service.backbone]
    folder = engine.variant("lora").folder
    assert folder
    starts = np.array([one.answers[0].start for one in rows], dtype=np.int32)
    same = {name: np.full(12, 0.5) for name in ("score", "confidence", "exact_match", "f1")}
    table = measured.table(
        fingerprint=fingerprint(rows),
        ids=tuple(one.id for one in rows),
        start=starts,
        end=starts + np.array([len(one.answers[0].text) for one in rows], dtype=np.int32),
        windows=np.ones(12, dtype=np.int32),
        **same,
    )
    store.write_predictions(folder / store.PREDICTIONS, table)
    view = inspector.view(wanted(inspector, rivers))
    assert view.table
    assert [(one.name, one.exact_match.sum()) for one in view.table.columns] == [("lora", 12.0)]
    assert [one.name for one in view.missing] == ["base", "prompt-tuning"]
    assert asked == []
    (folder / store.PREDICTIONS).write_bytes(b"nonsense")
    assert "is damaged" in inspector.view(wanted(inspector, rivers)).problems[0]


def test_predictions_of_another_system_become_a_column_or_are_refused(
    inspector: Inspector, rivers: str, tmp_path: Path
) -> None:
    here, wish = (inspector.service.backbone, UPLOAD, rivers, []), handlers.Wish(turn=3)
    good, bad = tmp_path / "peer.json", tmp_path / "bad.json"
    write_json(good, {one.id: one.answers[0].text for one in tiny.examples(12)})
    write_json(bad, ["q0"])
    assert handlers.add_file(inspector, wish, str(good), *here, [])[:2] == ["", [str(good)]]
    assert handlers.add_file(inspector, wish, str(good), *here, [str(good)])[:2] == ["", [str(good)]]
    trouble, files, told = handlers.add_file(inspector, wish, str(bad), *here, [str(good)])
    assert (told.turn, told.anew) == (wish.turn + 1, False)
    assert trouble.startswith("bad.json is not a predictions file")
    assert set(files) == {"__type__"}
    view = inspector.view(wanted(inspector, rivers, files=(str(good),)))
    assert view.table
    assert [one.label for one in view.table.columns] == ["peer.json"]
    assert len(select(view.table, Filter(outcome="1"))) == 12
    with pytest.raises(UserError, match="at most 6 columns"):
        inspector.view(wanted(inspector, rivers, files=(str(good),) * 4))


def test_a_source_that_cannot_be_had_says_why(inspector: Inspector, tmp_path: Path) -> None:
    assert "give a SQuAD JSON file instead" in refreshed(inspector, "", source=SQUAD)[0]
    broken = tmp_path / "notes.json"
    broken.write_text("Dear diary", encoding="utf-8")
    asked = (inspector.service.backbone, "sample", "", [], [])
    trouble, source, uploaded, wish = handlers.open_file(inspector, handlers.Wish(), str(broken), *asked)
    assert wish.turn == 1  # it is told
    assert "notes.json is not JSON" in trouble
    assert set(source) == set(uploaded) == {"__type__"}
