"""One visitor's session: what is kept, what the cards are compared with, where probes start, and what is exported."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from qa_compare.data.examples import Answer
from qa_compare.inference.comparison import Comparison
from qa_compare.workbench import session as history
from qa_compare.workbench.probes import Variation
from qa_compare.workbench.session import MAX_RUNS, Run, Session, as_csv, as_json
from tests.inference.test_changes import comparison

PASSAGE = "The town of Paris lies on the Seine, and Rouen lies there as well."
QUESTION = "Which town lies on the Seine?"


def run(
    passage: str = PASSAGE,
    question: str = QUESTION,
    answer: str = "Paris",
    *,
    asked: Comparison | None = None,
    **more: Any,
) -> Run:
    made = asked or comparison(passage, question, base=(answer, 0.5), lora=("Paris", 0.9))
    return Run(
        **{"number": 0, "backbone": "river", "source": "sample", "upload": "", "id": "q", "comparison": made, **more}
    )


def session(*runs: Run) -> Session:
    made = Session()
    for one in runs:
        made = made.record(one)
    return made


def probed(made: Session, key: str, answer: str) -> Session:
    """After the text that this probe makes was answered."""
    variation = made.variations[key]
    assert isinstance(variation, Variation)
    return made.record(run(variation.passage, variation.question, answer))


def test_the_first_run_is_compared_with_nothing_and_is_where_probes_start() -> None:
    made = session(run())
    assert (made.before, made.changed) == (None, ())
    assert made.shown == made.origin == made.runs[0]
    assert made.runs[0].number == 1


def test_an_edit_is_compared_with_the_run_before() -> None:
    made = session(run(), run(question="Which town is on the Seine?", answer="Rouen"))
    assert [(one.variant, one.kind, one.before, one.after) for one in made.changed] == [
        ("base", "flip", "Paris", "Rouen"),
        ("lora", "same", "Paris", "Paris"),
    ]
    assert made.origin == made.shown == made.runs[1]


@pytest.mark.parametrize(
    "other",
    [
        run(question="Who?", id="another"),
        run("A cat sat on a mat.", "Where sat the cat?"),
        run(question="Who?", backbone="lake"),
        run(question="Who?", source="squad"),
    ],
    ids=["question of the source", "text", "backbone", "source"],
)
def test_another_question_is_no_edit(other: Run) -> None:
    assert session(run(), other).changed == ()


def test_the_same_question_again_adds_no_run_and_keeps_the_comparison() -> None:
    edited = run(question="Which town is on the Seine?", answer="Rouen")
    made = session(run(), edited, edited)
    assert [one.number for one in made.runs] == [1, 2]
    assert [one.kind for one in made.changed] == ["flip", "same"]


def test_other_variants_replace_the_run_and_start_the_probes_anew() -> None:
    made = probed(session(run()), "case", "Rouen")
    shown = made.shown
    assert shown
    fewer = replace(shown, comparison=replace(shown.comparison, answers=shown.comparison.answers[:1]))
    made = made.record(fewer)
    assert [(one.number, one.variants) for one in made.runs] == [(1, ("base", "lora")), (2, ("base",))]
    assert made.origin == made.shown
    assert made.probed == {}


def test_probes_start_from_the_origin_one_after_the_other() -> None:
    made = probed(probed(session(run()), "case", "Rouen"), "typo", "Paris")
    assert made.origin == made.runs[0]
    assert [one.kind for one in made.changed] == ["same", "same"]  # against the text as asked, not against the capitals
    case = made.outcome("case")
    assert case
    assert [(one.label, one.kind) for one in case] == [("Base", "flip"), ("LoRA", "same")]
    assert made.outcome("mark") is None


def test_swapped_names_are_expected_to_swap_the_answer_there_and_back() -> None:
    made = probed(session(run()), "names", "Paris")
    variation = made.variations["names"]
    assert isinstance(variation, Variation)
    assert variation.swapped == ("Seine", "Paris")
    assert [(one.kind, one.expected) for one in made.changed] == [("flip", "Seine"), ("flip", "Seine")]
    back = made.record(run(answer="Seine"))
    assert [(one.variant, one.kind) for one in back.changed] == [("base", "same"), ("lora", "flip")]
    assert back.origin
    assert back.origin.number == back.runs[0].number == 1
    assert set(back.probed) == {"names"}


def test_an_edit_after_a_probe_starts_anew() -> None:
    made = probed(session(run()), "case", "Rouen").record(run(question="Which town?", answer="Paris"))
    assert made.probed == {}
    assert made.origin == made.shown
    assert made.changed[0].before == "Rouen"


def test_the_last_runs_are_kept() -> None:
    made = session(*(run(question=f"Which town {number}?") for number in range(MAX_RUNS + 5)))
    assert [one.number for one in made.runs] == list(range(6, MAX_RUNS + 6))


def test_long_texts_leave_room_for_fewer_but_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_CHARACTERS", 250)
    made = session(*(run("x" * 100, f"Why {number}?") for number in range(4)))
    assert [one.number for one in made.runs] == [3, 4]
    assert [one.number for one in made.record(run("y" * 300)).runs] == [5]


def test_a_run_can_be_found_and_removed() -> None:
    made = session(run(), run(question="Which?"))
    assert made.run(1) == made.runs[0]
    assert made.without(1).run(1) is None
    assert made.without(1).shown == made.shown
    assert made.without().runs == ()
    assert made.without().record(run(question="Which?")).runs[0].number == 3  # a number is never given twice


def test_an_export_holds_every_run_with_each_variants_answer() -> None:
    gold = (Answer("Paris", 12), Answer("Paris", 12))
    one, other = json.loads(as_json(session(run(gold=gold), run(question="Which?", answer="")).runs))
    assert (one["number"], one["question"], one["gold"], one["edited"]) == (1, QUESTION, ["Paris"], False)
    assert one["variants"]["base"] == {
        "answer": "Paris",
        "start": 0,
        "end": 5,
        "confidence": 0.5,
        "exact_match": 1,
        "f1": 1.0,
        "problem": None,
    }
    assert other["variants"]["base"]["answer"] == ""
    assert other["variants"]["base"]["exact_match"] is None


def test_what_is_said_beside_the_answers_is_exported_with_them() -> None:
    asked = replace(comparison(base=("Paris", 0.5)), warnings=("The question was cut.",))
    runs = session(run(asked=asked)).runs
    assert [one["warnings"] for one in json.loads(as_json(runs))] == [["The question was cut."]]
    [row] = csv.DictReader(io.StringIO(as_csv(runs)))
    assert row["warnings"] == "The question was cut."


def test_a_table_for_spreadsheets_holds_no_formula() -> None:
    evil = run("=1+1 is two", "@SUM(A1)", "=1+1")
    asked = comparison(lora=("+2", 0.5))
    rows = list(csv.DictReader(io.StringIO(as_csv(session(evil, run(asked=asked, id="=id")).runs))))
    assert (rows[0]["passage"], rows[0]["question"], rows[0]["base answer"]) == ("'=1+1 is two", "'@SUM(A1)", "'=1+1")
    assert (rows[1]["id"], rows[1]["lora answer"], rows[1]["base answer"]) == ("'=id", "'+2", "")
    for row in rows:
        assert not any(str(cell).startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())
