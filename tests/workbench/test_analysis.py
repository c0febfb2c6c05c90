"""Kinds of error, outcomes, filters, orders, columns and exports: plain, and quick over as many questions as SQuAD."""

from __future__ import annotations

import csv
import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qa_compare.data.examples import Answer, Example, fingerprint
from qa_compare.errors import UserError
from qa_compare.measure.error_kinds import KINDS, error_kind, find
from qa_compare.measure.scoring import score
from qa_compare.models.variants import Variant
from qa_compare.runs import store
from qa_compare.workbench import table as answer_columns
from qa_compare.workbench.exports import as_json, rows_as_csv, rows_as_objects
from qa_compare.workbench.table import Column, Filter, Table, orders, outcomes, select
from tests import measured
from tests.conftest import DATA

PASSAGE = "The Seine rises in Burgundy near Dijon. It flows through Paris! It ends at Le Havre, in Normandy."


def example(number: int = 0, gold: str | None = "Burgundy", **changes: Any) -> Example:
    answers = () if gold is None else (Answer(gold, PASSAGE.index(gold)),)
    return replace(Example(f"q{number}", "Seine", PASSAGE, "Where does the Seine rise?", answers), **changes)


def column(name: str, answers: list[str], examples: list[Example], confidence: list[float] | None = None) -> Column:
    """As a folder's answers become one, from the first place where each stands."""
    made = answer_columns._column(
        name,
        name.title(),
        examples,
        {one.id: text for one, text in zip(examples, answers, strict=True)},
        [one.passage.find(text) if text else -1 for one, text in zip(examples, answers, strict=True)],
        np.array(confidence or [0.5] * len(examples)),
    )
    assert len(made.answers) == len(examples)
    return made


@pytest.mark.parametrize(
    ("answer", "gold", "kind"),
    [
        ("Burgundy", "Burgundy", "right"),
        ("the burgundy.", "Burgundy", "right"),
        ("Burgundy near Dijon", "Burgundy", "too long"),
        ("Burgundy", "Burgundy near Dijon", "too short"),
        ("rises in Burgundy", "Burgundy near", "overlap"),
        ("Seine", "Burgundy", "right sentence"),
        ("Paris", "Burgundy", "wrong sentence"),
        ("Paris", "Le Havre", "wrong sentence"),
        ("Normandy", "Le Havre", "right sentence"),
        ("Dijon. It flows", "Paris", "right sentence"),
        ("", "Burgundy", "no answer"),
        (" ", "Burgundy", "no answer"),
        ("Burgundy", None, "no gold"),
        ("Berlin", "Burgundy", "wrong sentence"),
        ("Burgundy Berlin", "Burgundy", "overlap"),
    ],
)
def test_a_kind_of_error_says_where_the_answer_lies_beside_the_gold(answer: str, gold: str | None, kind: str) -> None:
    one = example(gold=gold)
    scores = score({one.id: answer}, [one])
    found = error_kind(one, answer, PASSAGE.find(answer), bool(scores.exact_match[0]), float(scores.f1[0]))
    assert found == kind
    assert kind in KINDS


def test_of_several_gold_answers_the_one_that_is_overlapped_most_counts() -> None:
    texts = ("Burgundy near Dijon", "rises")
    one = example(answers=tuple(Answer(text, PASSAGE.index(text)) for text in texts))
    assert error_kind(one, "in Burgundy near", PASSAGE.index("in Burg"), False, 0.5) == "overlap"
    assert error_kind(one, "rises in", PASSAGE.index("rises"), False, 0.5) == "too long"


def test_a_text_without_a_place_is_found_whatever_its_case_and_punctuation() -> None:
    assert [PASSAGE[slice(*place)] for place in find(PASSAGE, "LE HAVRE IN")] == ["Le Havre, in"]
    assert find(PASSAGE, "ris") == []
    assert find("It cost $ 5.", "$") == [(8, 9)]
    assert error_kind(example(), "burgundy Near", -1, False, 0.5) == "too long"


def test_of_several_places_the_one_nearest_to_gold_counts() -> None:
    one = Example("q", "", "Rome was old. In Rome, the old Rome.", "?", (Answer("the old Rome", 23),))
    assert error_kind(one, "Rome", -1, False, 0.5) == "too short"


@pytest.mark.parametrize(
    ("passage", "answer"),
    [(". " * 100_000, "x"), ("." + " " * 199_999, "x"), ('."\n' * 60_000, "x"), ("_" * 200_000, "_ _ _ x")],
    ids=["dots", "spaces", "lines", "underscores"],
)
def test_a_kind_of_error_is_found_within_a_second_whatever_the_passage(passage: str, answer: str) -> None:
    one = Example("q", "", f"Burgundy {passage} x", "?", (Answer("Burgundy", 0),))
    begin = time.process_time()
    assert error_kind(one, answer, -1, False, 0.0) in ("right sentence", "wrong sentence")
    assert time.process_time() - begin < 1


def test_words_between_underscores_are_found() -> None:
    assert find("It says _Le Havre_ there.", "le_havre") == [(9, 17)]


GOLDS = ["Burgundy", "Paris", "Le Havre", None]


@pytest.fixture
def table() -> Table:
    """Base and LoRA: both right; only LoRA right; nobody; no gold."""
    rows = [example(number, gold) for number, gold in enumerate(GOLDS)]
    rows[1] = replace(rows[1], question="Who built <b>Paris</b>?", title="Paris_(city)")
    base = column("base", ["Burgundy", "through Paris", "Dijon", "Paris"], rows, [0.9, 0.8, 0.95, 0.99])
    lora = column("lora", ["Burgundy", "Paris", "ends at Le Havre", "Seine"], rows, [0.9, 0.7, 0.2, 0.3])
    return Table(tuple(rows), (base, lora))


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ({}, [0, 1, 2, 3]),
        ({"outcome": "11"}, [0]),
        ({"outcome": "01"}, [1]),
        ({"outcome": "10"}, []),
        ({"outcome": "00"}, [2]),
        ({"kind": "too long"}, [1, 2]),
        ({"kind": "too long", "variant": "lora"}, [2]),
        ({"kind": "wrong sentence"}, [2]),
        ({"kind": "no gold"}, [3]),
        ({"sure": 0.8}, [1, 2]),
        ({"sure": 0.8, "variant": "lora"}, []),
        ({"sure": 0.8, "kind": "too long"}, [1]),
        ({"question_word": "who"}, [1]),
        ({"answer_length": "1"}, [0, 1]),
        ({"answer_length": "2"}, [2]),
        ({"passage_length": "under 100"}, [0, 1, 2, 3]),
        ({"passage_length": "200+"}, []),
        ({"article": "Paris_(city)"}, [1]),
        ({"text": "  <B>paris "}, [1]),
        ({"text": "NORMANDY"}, [0, 1, 2, 3]),
        ({"text": "ends at le havre"}, [0, 1, 2, 3]),
        ({"text": "built", "outcome": "11"}, []),
    ],
)
def test_filters_combine(table: Table, wanted: dict[str, Any], rows: list[int]) -> None:
    assert select(table, Filter(**wanted)).tolist() == rows


@pytest.mark.parametrize(
    ("wanted", "order", "sentence"),
    [
        (Filter(outcome="1"), "", "the outcome '1' is not a 1"),
        (Filter(outcome="1x"), "", "the outcome '1x' is not a 1"),
        (Filter(kind="odd"), "", "unknown kind of error 'odd': there are right, too long"),
        (Filter(kind="right", variant="ia3"), "", "unknown variant 'ia3': there are base, lora"),
        (Filter(), "backwards", "unknown order 'backwards': there are difference"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    table: Table, wanted: Filter, order: str, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        select(table, wanted, order)


def test_outcomes_count_every_combination_under_the_other_filters(table: Table) -> None:
    found = {one.key: (one.sentence, one.count) for one in outcomes(table, Filter(outcome="11"))}
    assert found == {
        "11": ("All right", 1),
        "10": ("Only Base right", 0),
        "01": ("Only Lora right", 1),
        "00": ("Nobody right", 1),
    }
    assert [one.count for one in outcomes(table, Filter(question_word="who"))] == [0, 0, 1, 0]


@pytest.mark.parametrize(("size", "listed"), [(1, 2), (3, 8), (4, 3)])
def test_up_to_three_columns_have_all_outcomes_and_more_those_that_occur(table: Table, size: int, listed: int) -> None:
    names = ["base", "lora", "prompt-tuning", "ia3"]
    columns = tuple(replace(table.columns[name != "base"], name=name, label=name) for name in names[:size])
    assert len(outcomes(Table(table.examples, columns), Filter())) == listed


def test_three_variants_outcomes_are_told_in_words(table: Table) -> None:
    columns = tuple(replace(table.columns[0], label=label) for label in ("Base", "LoRA", "Prompt tuning"))
    said = [one.sentence for one in outcomes(Table(table.examples, columns), Filter())]
    assert said[0] == "All right"
    assert said[-1] == "Nobody right"
    assert set(said[1:4]) == {"Only Base wrong", "Only LoRA wrong", "Only Prompt tuning wrong"}
    assert set(said[4:7]) == {"Only Base right", "Only LoRA right", "Only Prompt tuning right"}


@pytest.mark.parametrize(
    ("order", "rows"),
    [
        ("worst base", [2, 1, 0, 3]),
        ("best base", [0, 1, 2, 3]),
        ("lora, base", [2, 1, 0, 3]),
        ("base, lora", [0, 1, 2, 3]),
        ("difference", [2, 1, 0, 3]),
    ],
)
def test_orders_say_which_end_comes_first(table: Table, order: str, rows: list[int]) -> None:
    assert select(table, Filter(), order).tolist() == rows
    assert orders(table)["lora, base"].label == "Lora better → Base better"


def many(count: int, columns: int) -> Table:
    """As many questions as SQuAD's validation split, about 2,000 passages of its usual length."""
    generator = np.random.default_rng(0)
    passages = [" ".join(f"word{n}" for n in generator.integers(0, 5000, 120)) for _ in range(2000)]
    rows = []
    for number in range(count):
        passage = passages[number % len(passages)]
        gold = passage.split()[number % 100]
        question = f"What is {gold} of number {number}?"
        rows.append(Example(str(number), f"Article {number % 48}", passage, question, (Answer(gold, 0),)))
    exact = generator.integers(0, 2, (columns, count)).astype(np.float64)
    made = [
        Column(
            f"v{n}",
            f"V{n}",
            tuple(f"answer {row}" for row in range(count)),
            np.zeros(count, dtype=np.int32),
            generator.random(count),
            exact[n],
            np.maximum(exact[n], generator.random(count)),
            generator.integers(0, 7, count).astype(np.int8),
        )
        for n in range(columns)
    ]
    return Table(tuple(rows), tuple(made))


@pytest.mark.slow
def test_a_filter_over_all_of_squad_and_six_columns_takes_less_than_half_a_second() -> None:
    table = many(10_570, 6)
    wanted = Filter(kind="overlap", sure=0.2, question_word="what", text="word17")
    select(table, wanted, "difference")  # the columns that are computed once
    begin = time.process_time()  # not the clock on the wall: other processes may share the machine
    found = select(table, wanted, "v1, v0")
    counted = outcomes(table, wanted)
    assert time.process_time() - begin < 0.5
    assert 0 < len(found) == sum(one.count for one in counted)


def test_rows_carry_their_texts_and_each_variants_answer(table: Table) -> None:
    [row] = rows_as_objects(table, [2])
    assert (row["id"], row["gold"]) == ("q2", ["Le Havre"])
    assert row["variants"]["lora"] == {
        "answer": "ends at Le Havre",
        "exact_match": 0,
        "f1": 0.6667,
        "confidence": 0.2,
        "kind": "too long",
    }
    assert json.loads(as_json(table, [2])) == [row]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_spreadsheet_takes_no_text_for_a_formula(table: Table, start: str) -> None:
    evil = f'{start}HYPERLINK("http://example.org", "a,b")\n'
    base = replace(table.columns[0], name=evil, answers=(evil,) * 4)
    rows = tuple(replace(one, id=evil, title=evil, question=evil, passage=evil) for one in table.examples)
    lines = list(csv.reader(io.StringIO(rows_as_csv(Table(rows, (base,)), [0]), newline="")))
    assert [len(line) for line in lines] == [10, 10]
    cells = [cell for line in lines for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert cells.count("'" + evil) == 5


def test_without_a_gold_answer_a_row_has_no_scores(table: Table) -> None:
    answer = rows_as_objects(table, [3])[0]["variants"]["lora"]
    assert (answer["kind"], answer["exact_match"], answer["f1"]) == ("no gold", None, None)
    cells = next(csv.DictReader(io.StringIO(rows_as_csv(table, [3]))))
    assert (cells["lora exact_match"], cells["lora f1"]) == ("", "")


def test_an_unknown_confidence_is_none_and_an_empty_cell(table: Table) -> None:
    unknown = Table(table.examples, (replace(table.columns[0], confidence=np.full(4, np.nan)),))
    assert rows_as_objects(unknown, [0])[0]["variants"]["base"]["confidence"] is None
    assert next(csv.DictReader(io.StringIO(rows_as_csv(unknown, [0]))))["base confidence"] == ""
    assert select(unknown, Filter(sure=0.01)).tolist() == []


def test_saved_answers_are_read_where_they_are_to_these_questions(tmp_path: Path) -> None:
    rows = [example(number) for number in range(3)]
    variant = Variant("lora", "LoRA", "lora", "minilm-l6-qa", tmp_path)
    print_ = fingerprint(rows)
    assert answer_columns.saved(variant, rows, print_) is None
    # in another order, and the last without an answer
    store.write_predictions(
        tmp_path / store.PREDICTIONS,
        measured.table(
            fingerprint=print_,
            ids=("q1", "q0", "q2"),
            start=np.array([0, 19, -1], dtype=np.int32),
            end=np.array([9, 27, -1], dtype=np.int32),
        ),
    )
    column = answer_columns.saved(variant, rows, print_)
    assert column
    assert column.answers == ("Burgundy", "The Seine", "")
    assert [KINDS[kind] for kind in column.kind] == ["right", "right sentence", "no answer"]
    assert column.confidence.tolist() == [0.5, 0.9, 0.0]
    assert answer_columns.saved(variant, rows[:2], fingerprint(rows[:2])) is None


def test_another_systems_answers_become_a_column(tmp_path: Path) -> None:
    path = tmp_path / "peer.json"
    path.write_text(json.dumps({"q0": "burgundy", "q1": "Burgundy near \ud83d", "unknown": "x"}), encoding="utf-8")
    column = answer_columns.from_file(path, [example(number) for number in range(3)])
    assert (column.name, column.label) == ("file:peer", "peer.json")
    assert column.answers == ("burgundy", "Burgundy near ?", "")
    assert column.exact_match.tolist() == [1, 0, 0]
    assert [KINDS[kind] for kind in column.kind] == ["right", "too long", "no answer"]
    assert np.isnan(column.confidence).all()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[1]", "peer.json is not a predictions file"),
        ('{"q0": 5}', "peer.json is not a predictions file"),
        ("hello", "peer.json is not JSON"),
        ('{"other": "x"}', "answers none of these questions"),
        ("{}", "answers none of these questions"),
    ],
)
def test_a_file_that_holds_no_answers_to_these_questions_is_refused(
    tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "peer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        answer_columns.from_file(path, [example()])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "exact_match", "f1"),
    [
        ("logistic_regression_baseline", 40.0, 51.0),
        ("match_lstm_ensemble", 67.0, 77.0),
        ("bert_ensemble", 86.0, 92.0),
    ],
)
def test_published_systems_get_their_published_scores_and_kinds(
    squad: list[Example], name: str, exact_match: float, f1: float
) -> None:
    peer = DATA / "peers" / f"{name}.json"
    if not peer.is_file():
        pytest.skip("the published predictions are not on this machine")
    column = answer_columns.from_file(peer, squad)
    assert 100 * column.exact_match.mean() == pytest.approx(exact_match, abs=1.5)
    assert 100 * column.f1.mean() == pytest.approx(f1, abs=1.5)
    table = Table(tuple(squad), (column,))
    assert [one.count for one in outcomes(table, Filter())] == [
        column.exact_match.sum(),
        (1 - column.exact_match).sum(),
    ]
    for kind in ("too long", "too short", "right sentence", "wrong sentence"):
        assert len(select(table, Filter(kind=kind))) > 50
