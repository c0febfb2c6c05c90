"""The batch without a page: files are checked, variants keep step, what was answered is kept, scored and exported."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from qa_compare.data import readers
from qa_compare.data.examples import Answer, Example, to_squad
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.inference.decoding import Candidate, Prediction
from qa_compare.inference.engine import Cancelled, Engine
from qa_compare.models.registry import Loaded
from qa_compare.workbench import batch, exports
from qa_compare.workbench import table as answer_columns
from qa_compare.workbench.answers import MAX_COLUMNS
from qa_compare.workbench.batch import Answers, Batches, Result, check
from qa_compare.workbench.service import Service
from qa_compare.workbench.table import Table
from tests import measured, tiny

NAMES = ("base", "lora", "prompt-tuning")
Asked = list[tuple[str, int]]


def never() -> bool:
    return False


def predicted(one: Example, variant: str) -> Prediction:
    """LoRA finds the gold answer "sea 7"; the others say how the passage begins, and have no answer to q5."""
    start = one.passage.index("sea") if variant == "lora" else 0
    end = len(one.passage) - 1 if variant == "lora" else 9
    text = one.passage[start:end]
    found = () if one.id == "q5" and variant != "lora" else (Candidate(text, start, end, 1.0, 0.75),)
    return Prediction(one.id, found, 0.0, 1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the engines were asked, as (variant, questions): they answer as `predicted`, at once."""
    found: Asked = []

    def predict(
        _engine: Engine, examples: Sequence[Example], variant: Loaded, *, cancelled: Callable[[], bool], **_options: Any
    ) -> list[Prediction]:
        if cancelled():
            raise Cancelled
        found.append((str(variant), len(examples)))
        return [predicted(one, str(variant)) for one in examples]

    monkeypatch.setattr(Engine, "predict", predict)
    measured.stop_the_clock(monkeypatch)
    return found


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    measured.backbone(tmp_path)
    for seed, name in enumerate(NAMES):
        measured.variant(tmp_path / "adapters", name, seed=seed)
    made = Engine(str(tmp_path / "river-bert"), adapters=tmp_path / "adapters", precision="fp32")
    assert made.located
    return made


def result(engine: Engine, examples: Sequence[Example], names: Sequence[str] = NAMES) -> Result:
    answers = Answers(engine, examples)
    for _ in answers.find(names, never):
        pass
    found = answers.result(names)
    assert found
    return found


def written(tmp_path: Path, name: str, text: str) -> Path:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_a_file_is_checked_and_every_problem_named_with_its_row(tmp_path: Path) -> None:
    rows = "passage,question,answers\nRome is old.,What is old?,Rome\n,Who?,\nRome is old.,What is it?,\n"
    found = check(written(tmp_path, "towns.csv", rows + "Rome is old.,What is old?,Paris\nRome is old.,,\n"))
    assert (found.name, len(found.examples), found.gold) == ("towns.csv", 3, 2)
    assert [one.row for one in found.problems] == ["line 3", "line 6"]
    assert found.problems[1].message == "its question is empty"
    assert found.notes == (readers.Problem("line 5", 'the gold answer "Paris" is not in its passage'),)
    assert "gold answers from 'answers'. Read: 3 questions, 2 of them with gold answers." in found.told


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain.csv", "passage,question\nRome is old.,What is old?\n"),
        ("plain.jsonl", '{"passage": "Rome is old.", "question": "What is old?"}\n'),
        ("plain.json", '{"data": [{"paragraphs": [{"context": "Rome is old.", "qas": [{"question": "Who?"}]}]}]}'),
    ],
)
def test_passage_and_question_are_enough(tmp_path: Path, name: str, text: str) -> None:
    found = check(written(tmp_path, name, text))
    assert (len(found.examples), found.gold, found.problems) == (1, 0, ())


@pytest.mark.parametrize("name", ["many.csv", "many.jsonl", "many.json"])
@pytest.mark.parametrize(("rows", "refused"), [(5, False), (6, True)])
def test_more_questions_than_the_page_takes_are_refused_with_the_command_to_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, rows: int, refused: bool
) -> None:
    monkeypatch.setattr(readers, "MAX_QUESTIONS", 5)
    line = {"passage": "Rome is old.", "question": "What is old?"}
    bad = {"passage": "", "question": ""}  # counted too: they would fill the memory otherwise
    lines = [line, bad, *[line] * (rows - 2)]
    if name.endswith(".csv"):
        text = "passage,question\n" + "".join(f"{one['passage']},{one['question']}\n" for one in lines)
    elif name.endswith(".jsonl"):
        text = "".join(json.dumps(one) + "\n" for one in lines)
    else:
        paragraphs = [{"context": one["passage"], "qas": [{"question": one["question"]}]} for one in lines]
        text = json.dumps({"data": [{"paragraphs": paragraphs}]})
    path = written(tmp_path, name, text)
    if not refused:
        assert len(check(path).examples) == 4
        return
    with pytest.raises(UserError, match=f"^{name} holds more than 5 questions.*qa_compare predict {name} --variant"):
        check(path)


def test_a_file_of_too_many_bytes_is_refused_with_the_command_to_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_UPLOAD", 2**20)
    path = written(tmp_path, "my towns.csv", "passage,question\n" + "x" * 2**20)
    with pytest.raises(UserError, match=r"1\.0 MB: at most 1 are read\. .*predict 'my towns\.csv' --variant"):
        check(path)


def test_the_variants_keep_step_and_tell_how_far_they_are(engine: Engine, asked: Asked) -> None:
    answers = Answers(engine, tiny.examples(40))
    told = list(answers.find(NAMES, never))
    assert [variant for variant, _ in asked] == [*NAMES, *NAMES]
    assert [count for _, count in asked] == [16, 16, 16, 24, 24, 24]
    assert (told[0].done, told[0].total, told[0].left) == (0, 120, None)
    assert told[0].label == "Base, LoRA, Prompt tuning"
    assert (told[-1].done, told[-1].left) == (120, 0.0)
    assert all(one.left is not None and one.left >= 0 for one in told[1:])


def test_a_cancelled_run_keeps_the_same_questions_of_all_variants_and_goes_on_from_there(
    engine: Engine, asked: Asked
) -> None:
    answers = Answers(engine, tiny.examples(100))
    assert answers.result(NAMES) is None
    with pytest.raises(Cancelled):
        list(answers.find(NAMES, lambda: len(asked) == 4))
    part = answers.result(NAMES)
    assert part
    assert (part.done, part.asked, part.partial) == (16, 100, True)
    assert len(json.loads(exports.squad_json(part, "base"))) == 16
    list(answers.find(NAMES, never))
    whole = answers.result(NAMES)
    assert whole
    assert (whole.done, whole.partial) == (100, False)
    assert all(sum(count for variant, count in asked if variant == name) == 100 for name in NAMES)


def test_cancelling_reaches_the_engine_between_its_batches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter([False, False, False, True])  # asked twice before the step, then before each batch
    monkeypatch.setitem(engine._limits, "rows", 1)
    forwards: list[int] = []
    forward = engine._pass
    monkeypatch.setattr(engine, "_pass", lambda *given: (forwards.append(1), forward(*given))[1])
    with pytest.raises(Cancelled):
        list(Answers(engine, tiny.examples(4)).find(["base"], lambda: next(calls)))
    assert len(forwards) == 1


def test_a_failure_keeps_what_was_answered(engine: Engine, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(engine, tiny.examples(40))
    works = Engine.predict

    def breaks(*given: Any, **options: Any) -> list[Prediction]:
        if len(asked) == 3:
            raise MemoryError("none left")
        return works(*given, **options)

    monkeypatch.setattr(Engine, "predict", breaks)
    with pytest.raises(MemoryError):
        list(answers.find(NAMES, never))
    found = answers.result(NAMES)
    assert found
    assert found.done == 16


def test_a_variant_that_cannot_be_loaded_is_told_and_the_others_answer(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "adapters" / "river-bert" / "lora" / "head.safetensors").write_bytes(b"nonsense")
    found = result(engine, tiny.examples(2))
    assert [column.name for column in found.table.columns] == ["base", "prompt-tuning"]
    assert len(found.problems) == 1
    assert found.problems[0].startswith("LoRA cannot answer: ")
    with pytest.raises(UserError, match="LoRA cannot answer"):
        result(engine, tiny.examples(2), ["lora"])


@pytest.mark.usefixtures("asked")
def test_scores_count_the_questions_with_gold_answers_only(engine: Engine) -> None:
    examples = tiny.examples(10)
    examples[3:] = [replace(one, answers=()) for one in examples[3:]]
    found = result(engine, examples)
    base, lora, _ = found.scores
    assert found.counts.sentences == ("7 of 10 questions have no gold answer and are left out of the scores.",)
    assert found.counts.scored == 3
    assert lora.exact_match
    assert lora.f1
    assert base.exact_match
    assert (lora.exact_match.value, lora.f1.low, base.exact_match.value) == (100.0, 100.0, 0.0)
    assert (lora.confidence, base.confidence) == (75.0, 67.5)
    assert found.agreeing == 0


@pytest.mark.usefixtures("asked")
def test_without_gold_answers_nothing_is_scored(engine: Engine) -> None:
    found = result(engine, [replace(one, answers=()) for one in tiny.examples(3)], ["base", "prompt-tuning"])
    assert {(one.exact_match, one.f1) for one in found.scores} == {(None, None)}
    assert found.agreeing == 3


def test_a_real_engine_answers_with_spans_of_the_passage(engine: Engine) -> None:
    examples = tiny.examples(3)
    rows = exports.as_objects(result(engine, examples))
    for row, one in zip(rows, examples, strict=True):
        assert tuple(row["variants"]) == NAMES
        for answer in row["variants"].values():
            assert one.passage[answer["start"] : answer["end"]] == answer["answer"] != ""
            assert 0 < answer["confidence"] <= 1


@pytest.mark.usefixtures("asked")
def test_predictions_are_saved_as_squad_has_them(engine: Engine) -> None:
    found = result(engine, tiny.examples(6))
    assert json.loads(exports.squad_json(found, "lora")) == {f"q{one}": f"sea {7 * one}" for one in range(6)}
    assert json.loads(exports.squad_json(found, "base"))["q5"] == ""
    with pytest.raises(UserError, match="unknown variant 'odd'"):
        exports.squad_json(found, "odd")


@pytest.mark.usefixtures("asked")
def test_csv_and_parquet_hold_the_same_columns(engine: Engine) -> None:
    examples = tiny.examples(6)
    examples[1] = replace(examples[1], answers=(), title="=1+1")
    found = result(engine, examples)
    text = exports.csv_file(found).decode("utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    table = parquet.read_table(io.BytesIO(exports.parquet_file(found)))
    assert table.column_names == list(lines[0])
    rows = table.to_pylist()
    assert (lines[1]["title"], rows[1]["title"]) == ("'=1+1", "=1+1")  # only a spreadsheet takes it for a formula
    assert (lines[0]["lora exact_match"], rows[0]["lora exact_match"]) == ("1", 1)
    assert (lines[1]["lora f1"], rows[1]["lora f1"]) == ("", None)
    assert (lines[5]["base start"], rows[5]["base end"], rows[5]["base answer"]) == ("", None, "")
    assert (lines[0]["gold"], rows[0]["gold"]) == ("sea 0", ["sea 0"])


LONG = "when did this happen and " * 20
MANY = " ".join(f"word{number}" for number in range(40))


def test_a_cut_question_is_flagged_in_every_export_and_said(engine: Engine, asked: Asked) -> None:
    examples = [replace(one, question=LONG) if one.id == "q1" else one for one in tiny.examples(3)]
    found = result(engine, examples, ["base", "lora"])
    assert found.notes == ("1 question is longer than 64 tokens: only its beginning was read",)
    assert [one["question_cut"] for one in exports.as_objects(found)] == [False, True, False]
    lines = csv.DictReader(io.StringIO(exports.csv_file(found).decode("utf-8-sig"), newline=""))
    assert [one["question_cut"] for one in lines] == ["0", "1", "0"]
    rows = parquet.read_table(io.BytesIO(exports.parquet_file(found))).to_pylist()
    assert [one["question_cut"] for one in rows] == [False, True, False]
    assert asked


def test_gold_answers_that_are_too_long_to_be_given_are_counted(engine: Engine, asked: Asked) -> None:
    first, second = tiny.examples(2)
    short = Answer(first.passage[:3], 0)
    examples = [
        replace(first, answers=(short, Answer(MANY, None), Answer(MANY, None), Answer(MANY + " x", None))),
        second,
    ]
    [said] = result(engine, examples, ["lora"]).notes
    assert said.startswith("2 gold answers are longer than 30 tokens, the longest answer that a variant gives (in 1 ")
    assert asked


def test_exact_match_above_f1_has_a_sentence_that_says_why(engine: Engine, asked: Asked) -> None:
    [example] = tiny.examples(1)
    marked = replace(example, passage="The sea %. A sea", answers=(Answer("A", 11),))
    predictions = [Prediction("q0", (Candidate("A", 11, 12, 1.0, 0.5),), 0.0, 1)]
    table = Table((marked,), (answer_columns.computed(engine.variant("lora"), (marked,), predictions),))
    [said] = Result(table, 1, (), engine.overlong([marked])).notes
    assert said.startswith("LoRA: 1 question has exact match 100 but F1 0, as in SQuAD's own script")
    assert asked == []


def test_the_template_is_a_file_without_a_problem(tmp_path: Path) -> None:
    found = check(written(tmp_path, "template.csv", exports.template()))
    assert (len(found.examples), found.gold, found.problems) == (2, 1, ())
    assert len(found.examples[0].answers) == 2


def test_a_problem_that_quotes_a_formula_is_no_formula_in_the_list_of_problems() -> None:
    text = exports.problems_csv([readers.Problem("line 2", "=cmd")])
    assert text.splitlines() == ["row,problem", "line 2,'=cmd"]


def test_what_was_answered_to_a_file_is_kept_for_some_files(
    engine: Engine, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_KEPT", 2)
    batches = Batches(Service({"river-bert": engine}, "river-bert"))
    paths = [tmp_path / f"{number}.json" for number in range(3)]
    for path in paths:
        write_json(path, to_squad(tiny.examples(3)))
        list(batches.find("river-bert", str(path), NAMES, never))
    assert batches.result("river-bert", str(paths[0]), NAMES) is None
    assert batches.result("river-bert", str(paths[2]), NAMES)
    before = len(asked)
    list(batches.find("river-bert", str(paths[2]), NAMES, never))
    assert len(asked) == before


def test_a_backbone_that_is_not_at_hand_or_a_file_without_a_good_row_is_refused(engine: Engine, tmp_path: Path) -> None:
    batches = Batches(Service({"river-bert": engine, "bert-tiny": Engine("bert-tiny")}, "river-bert"))
    bad = written(tmp_path, "bad.csv", "passage,question\n,Who?\n")
    with pytest.raises(UserError, match="no row of the file holds a usable question"):
        list(batches.find("river-bert", str(bad), NAMES, never))
    with pytest.raises(UserError, match="weights of bert-tiny"):
        list(batches.find("bert-tiny", str(bad), NAMES, never))


def test_variants_are_named_once_known_and_few(engine: Engine, tmp_path: Path) -> None:
    assert batch.variants(engine, ()) == NAMES
    assert batch.variants(engine, ["lora", "lora"]) == ("lora",)
    with pytest.raises(UserError, match="unknown variant 'odd'"):
        batch.variants(engine, ["odd"])
    for number in range(MAX_COLUMNS):
        measured.variant(tmp_path / "adapters", f"more-{number}")
    wide = Engine(str(tmp_path / "river-bert"), adapters=tmp_path / "adapters", precision="fp32")
    with pytest.raises(UserError, match="at most 6 variants"):
        batch.variants(wide, [one.name for one in wide.variants])
