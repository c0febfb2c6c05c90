"""The Batch tab: what its controls do, and who stops what. `test_browser_batch.py` walks it."""

from __future__ import annotations

import asyncio
import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from qa_compare.data.examples import Example, to_squad
from qa_compare.files import write_json
from qa_compare.inference.decoding import Prediction
from qa_compare.inference.engine import Engine
from qa_compare.page import batch_view
from qa_compare.page import your_data_tab as handlers
from qa_compare.page.components import nothing
from qa_compare.page.stopping import Tasks
from qa_compare.page.your_data_tab import _answering, _left, _settled, _stop
from qa_compare.workbench import answers as answering
from qa_compare.workbench.batch import Batches
from qa_compare.workbench.service import Service
from tests import batch_fixture, tiny
from tests.batch_fixture import BAD, NAME, NAMES, written
from tests.measured import never, visible

EVIL = "<img src=x onerror='alert(1)'> \" rises"
rivers, service = batch_fixture.rivers, batch_fixture.service


@pytest.fixture
def batches(service: Service) -> Batches:
    return Batches(service)


def skipped(update: Any) -> bool:
    return isinstance(update, dict) and set(update) == {"__type__"}


# The handlers


def test_a_good_file_is_taken_and_can_be_run(batches: Batches, rivers: str) -> None:
    uploaded, check, keep = handlers.open_file(rivers)
    assert uploaded == rivers
    assert visible(check).startswith("✓ rivers.json : 12 questions, all with gold answers.")
    assert "passages from 'context'; questions from 'question'; gold answers from 'answers'" in visible(check)
    assert keep["visible"] is False
    button, hint = handlers.ready(batches, NAME, uploaded, NAMES, False)
    assert (button["interactive"], button["value"]) == (True, "Run 3 variants on 12 questions")
    assert visible(hint) == "36 answers in all."


def test_a_file_with_problems_lists_them_and_runs_once_they_are_left_out(batches: Batches, tmp_path: Path) -> None:
    uploaded, check, keep = handlers.open_file(written(tmp_path, "towns.csv", BAD))
    assert re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', check) == [
        ("line 3", "its passage (context) is empty"),
        ("line 4", "its question is empty"),
    ]
    assert "1 question, all with gold answers" in visible(check)
    assert keep["visible"] is True
    button, hint = handlers.ready(batches, NAME, uploaded, NAMES, False)
    assert button["interactive"] is False
    assert "leave the rows with problems out" in hint
    button, _ = handlers.ready(batches, NAME, uploaded, NAMES, True)
    assert (button["interactive"], button["value"]) == (True, "Run 3 variants on 1 question")


def test_a_gold_answer_that_is_not_in_its_passage_is_listed_and_keeps_nobody_from_running(
    batches: Batches, tmp_path: Path
) -> None:
    text = "context,query,answer_text\nRome is old.,What is old?,Rome\nRome is old.,What is it?,<b>Paris\n"
    uploaded, check, keep = handlers.open_file(written(tmp_path, "towns.csv", text))
    assert "✓ towns.csv : 2 questions, all with gold answers." in visible(check)
    assert "questions from 'query'; gold answers from 'answer_text'" in visible(check)
    assert "1 gold answer is not in its passage" in visible(check)
    assert '<th scope="row">line 3</th><td>the gold answer &quot;&lt;b&gt;Paris&quot; is not in its passage' in check
    assert keep["visible"] is False
    assert handlers.ready(batches, NAME, uploaded, NAMES, False)[0]["interactive"] is True


def test_a_file_without_a_good_row_holds_no_usable_question(tmp_path: Path) -> None:
    _, check, _ = handlers.open_file(written(tmp_path, "bad.csv", "passage,question\n,Who?\n"))
    assert "bad.csv : no usable question." in visible(check)
    assert "gold answers. " not in visible(check)


def test_a_question_that_was_cut_says_so_where_it_is_shown(batches: Batches, tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    write_json(path, to_squad([replace(one, question="where " * 80) for one in tiny.examples(2)]))
    *_, (_, ran, *_controls) = handlers.run(batches, NAME, str(path), ["base"], never)
    scores, _, question = handlers.show(batches, ran, 0, "q1")
    assert "2 questions are longer than 64 tokens: only their beginnings were read" in visible(scores)
    assert "1 question is longer than 64 tokens: only its beginning was read" in visible(question)


def test_of_very_many_problems_the_first_are_listed_and_all_can_be_saved(tmp_path: Path) -> None:
    path = written(tmp_path, "noise.jsonl", "x\n" * (batch_view.LISTED + 1))
    _, check, keep = handlers.open_file(path)
    assert check.count('<th scope="row">') == batch_view.LISTED
    assert "The first 500 are listed" in check
    assert "501 rows of it cannot be used" in check
    assert keep["visible"] is False  # there is nothing to keep


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.json", "Dear diary", "a.json is not JSON"),
        ("<b>.json", "Dear diary", "&lt;b&gt;.json is not JSON"),
        ("a.csv", "name,age\nAda,36\n", "needs the columns"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_is_not_run(
    batches: Batches, tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    uploaded, check, _ = handlers.open_file(written(tmp_path, name, text))
    assert uploaded == ""
    assert sentence in check
    assert 'role="alert"' in check
    assert handlers.ready(batches, NAME, uploaded, NAMES, False)[0]["interactive"] is False


@pytest.mark.parametrize(
    ("backbone", "names", "sentence"),
    [
        (NAME, [], "Choose a variant."),
        (NAME, [*NAMES, *"abcd"], "At most 6 variants are run at once."),
        ("bert-tiny", NAMES, "Not ready: the weights of bert-tiny"),
    ],
)
def test_what_is_missing_for_a_run_is_said(
    batches: Batches, rivers: str, backbone: str, names: list[str], sentence: str
) -> None:
    button, hint = handlers.ready(batches, backbone, rivers, names, False)
    assert button["interactive"] is False
    assert sentence in visible(hint)


def test_an_upload_that_was_deleted_since_is_said_to_be_gone(batches: Batches, tmp_path: Path) -> None:
    button, hint = handlers.ready(batches, NAME, str(tmp_path / "yesterday.csv"), NAMES, False)
    assert button["interactive"] is False
    assert visible(hint) == "yesterday.csv is no longer here: upload it again."


def test_a_run_tells_how_far_it_is_and_shows_scores_answers_and_one_question(batches: Batches, rivers: str) -> None:
    *going, last = handlers.run(batches, NAME, rivers, NAMES, never)
    assert "Loading the models" in going[0][0]
    assert visible(going[-1][0]) == "Scoring the answers…"
    assert visible(going[-2][0]) == "Base, LoRA, Prompt tuning: 36 of 36 answers, about 0 s left"
    assert all(skipped(one) for update in going for one in update[1:])
    state, ran, *controls = last
    assert visible(state).startswith("Done in ")
    assert [one.get("interactive") for one in controls] == [True, False, True, True, True]
    scores, answers, question = handlers.show(batches, ran, 0, "q1")
    assert scores.count('class="variant"') == 3
    assert re.findall(r'data-pick="save:(.*?)"', scores) == ["csv", "parquet", *(f"json:{name}" for name in NAMES)]
    assert "1–10 of 12" in answers
    assert question.count('class="predicted') == 3
    answers, question = handlers.turn(batches, ran, *handlers.picked("page:1", 0, "q1"))
    assert "11–12 of 12" in answers
    assert question == ""
    assert handlers.picked("row:a:b", 1, "") == (1, "a:b")


def test_a_cancelled_run_says_so_and_shows_what_there_is(
    batches: Batches, rivers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "LEAST_STEP", 4)
    calls = iter([False] * 9)  # each step asks twice, and is one batch
    *_, last = handlers.run(batches, NAME, rivers, NAMES, lambda: next(calls, True))
    assert visible(last[0]).startswith("Cancelled. What was answered is kept")
    scores, *_ = handlers.show(batches, last[1], 0, "")
    assert "Partial: the first 4 of 12 questions." in visible(scores)
    *_, last = handlers.run(batches, NAME, rivers, NAMES, lambda: True)
    assert handlers.show(Batches(batches.service), last[1], 0, "")[0] == nothing("No question was answered")


def test_a_failed_run_says_so_frees_the_controls_and_keeps_what_there_is(
    batches: Batches, rivers: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(answering, "LEAST_STEP", 4)
    works, calls = Engine.predict, iter(range(9))

    def breaks(*given: Any, **options: Any) -> list[Prediction]:
        if next(calls) == 4:
            raise RuntimeError("a broken <model>")
        return works(*given, **options)

    monkeypatch.setattr(Engine, "predict", breaks)
    *_, (state, ran, *controls) = handlers.run(batches, NAME, rivers, NAMES, never)
    assert visible(state).startswith("It failed (RuntimeError). What was answered is kept")
    assert controls[0]["interactive"] is True
    assert "a broken <model>" in caplog.text
    assert "Partial: the first 4 of 12 questions." in visible(handlers.show(batches, ran, 0, "")[0])


def test_a_run_that_cannot_begin_says_why(batches: Batches, rivers: str) -> None:
    *_, last = handlers.run(batches, "bert-tiny", rivers, NAMES, never)
    assert "the weights of bert-tiny" in visible(last[0])


def test_markup_in_every_place_is_shown_as_text(batches: Batches, tmp_path: Path) -> None:
    one = Example(EVIL, EVIL, EVIL, EVIL)
    path = tmp_path / "<b>.json"
    write_json(path, {"data": [*to_squad([one])["data"], {"paragraphs": [{"context": EVIL, "qas": [{"id": EVIL}]}]}]})
    check = handlers.open_file(str(path))[1]
    *_, (state, ran, *_controls) = handlers.run(batches, NAME, str(path), NAMES, never)
    markup = "".join([check, state, *handlers.show(batches, ran, 0, EVIL)])
    assert "<img" not in markup
    assert "<b>." not in markup
    assert markup.count("&lt;img") > 5


@pytest.mark.parametrize("pick", ["save:csv", "save:parquet", "save:json:lora"])
def test_answers_are_saved_under_the_files_name(
    batches: Batches, rivers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pick: str
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "out"))
    *_, (_, ran, *_controls) = handlers.run(batches, NAME, rivers, NAMES, never)
    path = Path(handlers.saved_export(batches, pick, ran))
    kind = pick.split(":")[1]
    assert path.name == ("rivers-lora.json" if kind == "json" else f"rivers-answers.{kind}")
    assert path.is_relative_to(tmp_path / "out")
    if kind == "csv":
        rows = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
        assert [row["id"] for row in rows] == [f"q{number}" for number in range(12)]
    with pytest.raises(gr.Error, match="let go to make room"):
        handlers.saved_export(Batches(batches.service), pick, ran)
    assert "let go to make room" in handlers.turn(Batches(batches.service), ran, 0, "")[0]


# Who stops what


def visitor(name: str = "one") -> gr.Request:
    return gr.Request(session_hash=name)


def drive(batches: Batches, tasks: Tasks, ticket: int, path: str, request: gr.Request) -> Iterator[tuple[Any, ...]]:
    return _answering(batches, tasks)(ticket, NAME, path, NAMES, request)


def test_cancel_stops_the_run_under_way_with_a_word(batches: Batches, rivers: str) -> None:
    tasks = Tasks()
    going = drive(batches, tasks, tasks.begin(visitor()), rivers, visitor())
    next(going)
    state, _, cancel, *_ = _stop(tasks)(visitor())
    assert skipped(state)
    assert (cancel["value"], cancel["interactive"]) == ("Stopping…", False)
    *_, last = going
    assert "Cancelled" in last[0]


def test_cancel_before_its_turn_frees_the_controls_and_nothing_is_run(batches: Batches, rivers: str) -> None:
    tasks = Tasks()
    ticket = tasks.begin(visitor())
    state, run, *_ = _stop(tasks)(visitor())
    assert "Cancelled" in state
    assert run["interactive"] is True
    assert all(skipped(one) for update in drive(batches, tasks, ticket, rivers, visitor()) for one in update)
    assert batches.result(NAME, rivers, NAMES) is None


def test_a_run_that_was_overtaken_by_another_of_its_visitor_says_nothing(batches: Batches, rivers: str) -> None:
    tasks = Tasks()
    first, second = tasks.begin(visitor()), tasks.begin(visitor())
    assert all(skipped(one) for update in drive(batches, tasks, first, rivers, visitor()) for one in update)
    *_, last = drive(batches, tasks, second, rivers, visitor())
    assert "Done" in last[0]


def test_the_controls_are_free_once_cancelled_work_has_ended_though_its_last_word_came_before(
    batches: Batches, rivers: str
) -> None:
    tasks = Tasks()
    ticket = tasks.begin(visitor())
    going = drive(batches, tasks, ticket, rivers, visitor())
    next(going)
    _stop(tasks)(visitor())
    assert all(skipped(one) for one in asyncio.run(_settled(tasks, most=0.1)(visitor())))  # it goes on
    *_, last = going
    assert "Cancelled" in last[0]
    run, *_ = asyncio.run(_settled(tasks)(visitor()))
    assert run["interactive"] is True
    tasks.begin(visitor())
    assert all(skipped(one) for one in asyncio.run(_settled(tasks, most=0.1)(visitor())))  # another run


@pytest.mark.parametrize("gone", [_left, lambda tasks: tasks.left], ids=["another backbone", "a closed page"])
def test_a_visitor_who_turns_away_or_closes_the_page_stops_the_run_without_a_word(
    batches: Batches, rivers: str, gone: Callable[[Tasks], Callable[[gr.Request], Any]]
) -> None:
    tasks = Tasks()
    mine = drive(batches, tasks, tasks.begin(visitor()), rivers, visitor())
    next(mine)
    gone(tasks)(visitor("another"))
    gone(tasks)(visitor())
    assert all(skipped(one) for update in mine for one in update)
    assert batches.result(NAME, rivers, NAMES) is None
    assert tasks._known == {}


def test_nothing_is_kept_of_a_visitor_who_leaves_before_the_turn_comes(batches: Batches, rivers: str) -> None:
    tasks = Tasks()
    ticket = tasks.begin(visitor())
    tasks.left(visitor())
    assert tasks._known == {}
    assert all(skipped(one) for update in drive(batches, tasks, ticket, rivers, visitor()) for one in update)


# The endpoint
