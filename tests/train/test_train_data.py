"""What a run learns from: read, split by passage, kept apart from what is held out, cut into labelled windows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.data.examples import Answer, Example, to_squad
from qa_compare.data.readers import read_examples
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.models.features import encode, labels
from tests import tiny, training_fixture
from tests.training_fixture import refused
from train import data, lora, split
from train.options import Options

files, train = training_fixture.files, training_fixture.train


def sentence(number: int, passage: str) -> Example:
    return Example(f"s{number}", "Sentences", passage, "Where?", (Answer(passage[:3], 0),))


def test_training_passages_that_stand_in_a_held_out_passage_are_refused_by_name_or_dropped():
    held = [sentence(0, "The Nile is long. The  Rhine is shorter. The Elbe is there.")]
    train = [sentence(1, "the rhine is shorter."), sentence(2, "The Danube is longer.")]
    sentences = (
        r"^1 training passage overlaps held-out ones: 1 inside one\. The first, that of the question 's1' "
        r"\('Sentences'\), is a part of that of the held-out question 's0'\. .* --drop-overlap"
    )
    with pytest.raises(UserError, match=sentences):
        data.without_leaks(train, held, drop=False)
    kept, overlap = data.without_leaks(train, held, drop=True)
    assert kept == train[1:]
    assert (overlap.questions, dict(overlap.passages)) == (1, {"inside": 1})


def test_a_test_set_is_kept_out_of_training_though_it_is_not_validated_on(files, tmp_path):
    write_json(tmp_path / "test.json", to_squad(tiny.examples(4)))
    options = Options(train_file=(files[0],), validation_file=files[1], keep_out=(tmp_path / "test.json",))
    with pytest.raises(UserError, match=r"4 training passages overlap .*: 4 equal to one\. The first, .*'q0'"):
        data.load(options)
    found = data.load(replace(options, drop_overlap=True))
    assert [one.id for one in found.train] == [f"q{number}" for number in range(4, 12)]
    assert [one.id for one in found.validation] == [f"q{number}" for number in range(12, 16)]
    assert found.record["kept_out"][0]["name"] == "test.json"
    assert found.record["overlapping_passages"] == {"equal": 4}
    assert found.record["left_out"]["overlapping"] == 4


def test_a_run_does_not_stop_by_a_test_set_either(files, tmp_path):
    write_json(tmp_path / "test.json", to_squad([*tiny.examples(2), *tiny.examples(13)[12:]]))
    tests = (tmp_path / "test.json",)
    options = Options(train_file=(files[0],), validation_file=files[1], keep_out=tests, drop_overlap=True)
    found = data.load(options)
    assert [one.id for one in found.train] == [f"q{number}" for number in range(2, 12)]
    assert [one.id for one in found.validation] == ["q13", "q14", "q15"]
    assert found.record["held_out_left_out"]["overlapping"] == 1
    with pytest.raises(UserError, match="1 validation passage overlaps held-out ones"):
        data.load(Options(train_file=(files[0],), validation_file=files[1], keep_out=(one_test(tmp_path),)))
    split_ = data.load(replace(options, validation_file=None, validation_fraction=0.5))
    assert {"q0", "q1"}.isdisjoint(one.id for one in [*split_.train, *split_.validation])


def one_test(folder):
    """A test set that shares its only passage with the validation file, but with nothing that is trained on."""
    write_json(folder / "one.json", to_squad(tiny.examples(13)[12:]))
    return folder / "one.json"


def test_files_without_an_answered_question_are_refused(files, tmp_path):
    bare = [replace(one, answers=()) for one in tiny.examples(20)[16:]]
    write_json(tmp_path / "bare.json", to_squad(bare))
    with pytest.raises(UserError, match="no answered question is left to train on"):
        data.load(Options(train_file=(tmp_path / "bare.json",), validation_file=files[1]))
    with pytest.raises(UserError, match="no validation question is left"):
        data.load(Options(train_file=(files[0],), validation_file=tmp_path / "bare.json"))


PASSAGE = "At ten the gates open, and at ten they shut. " + "word " * 200 + "The end is far."


def asked(name: str, *golds: Answer, question: str = "when?", unanswerable: bool = False) -> Example:
    return Example(name, "Gates", f"{PASSAGE} {name}", question, golds, unanswerable)


ODD = [
    asked("plain", Answer("At ten", 0)),
    asked("unanswerable", unanswerable=True),
    asked("bare"),
    asked("nowhere", Answer("at noon", None)),
    asked("half", Answer("at noon", None), Answer("At ten", 0)),
    asked("twice", Answer("ten", 3, (27,))),
    asked("long", Answer(("word " * 8).strip(), PASSAGE.index("word"))),
    asked("cut", Answer(PASSAGE[3:], 3)),
    asked("winded", Answer("At ten", 0), question="when " * 70),
]


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Options:
    """A training file of questions of all kinds, and a validation file that ends with two of them."""
    held = [replace(one, id=f"h-{one.id}", passage=one.passage.replace("far", "near")) for one in (ODD[1], ODD[3])]
    told = {"odd.json": ODD, "held.json": [*tiny.examples(3), *held]}
    monkeypatch.setattr(data, "read_examples", lambda path: told[path.name])
    monkeypatch.setattr(data, "described", lambda paths: [{"name": path.name} for path in paths])
    return Options(train_file=(Path("odd.json"),), validation_file=Path("held.json"), max_overlap=1.0)


def test_every_question_that_is_not_trained_on_is_counted_by_the_reason(odd: Options) -> None:
    train, validation, found = data.datasets(data.load(odd), tiny.tokenizer(), 100, "sampled")
    assert [one.example.id for one in train.encoded] == ["plain", "half", "twice", "long", "winded"]
    assert [one.example.id for one in validation.encoded] == ["q0", "q1", "q2"]
    assert [one.id for one in found.train] == [one.example.id for one in train.encoded]
    record = found.record
    assert record["left_out"] == {
        "overlapping": 0,
        "unanswerable": 1,
        "without_gold": 1,
        "without_place": 1,
        "in_no_window": 1,
        "not_drawn": 0,
    }
    assert record["questions"] == len(ODD) == record["train_questions"] + sum(record["left_out"].values())
    assert record["of_those_trained_on"] == {
        "ambiguous": 1,
        "too_long": 1,
        "also_without_place": 1,
        "question_cut": 1,
    }
    assert (record["validation_questions"], record["held_out_left_out"]["unanswerable"]) == (3, 1)
    assert record["summary"] == (
        "Trained on 5 of 9 questions; left out: 1 marked as unanswerable, 1 without a gold answer, 1 whose gold "
        "answers are not in their passage, 1 whose gold answers lie in no window from end to end. Of those trained on: "
        "1 with a gold answer that stands at several places (the first is learned), 1 with a gold answer of more than "
        "30 tokens (which can never be predicted), 1 with a further gold answer that is not in their passage, 1 whose "
        "question is cut to 64 tokens. 3 held-out questions decide when to stop; left out: 1 marked as unanswerable, 1 "
        "whose gold answers are not in their passage."
    )
    assert found.unplaced == (
        "3 gold answers are not in their passage and cannot be learned; the first is 'at noon' of the question "
        "'nowhere'"
    )
    assert "noon" not in json.dumps(record)  # no text of the file


def test_a_gold_answer_without_a_place_is_never_a_label(odd: Options) -> None:
    for answers in ("first", "sampled"):
        train, _, _ = data.datasets(data.load(odd), tiny.tokenizer(), 384, answers)
        for index, window, choices in train.rows:
            one = train.encoded[index]
            located = [gold for gold in one.example.answers if gold.start is not None]
            [place] = [number for number, other in enumerate(one.windows) if other is window]
            expected = {labels(one, gold)[place] for gold in located}
            assert set(choices) <= expected
    with pytest.raises(ValueError, match="'nowhere' has no gold answer that lies in a window"):
        data.WindowDataset(encode([ODD[3]], tiny.tokenizer()))


def test_the_first_gold_answer_that_lies_in_a_window_is_the_one_that_is_learned() -> None:
    one = asked("both", Answer(PASSAGE[3:], 3), Answer("At ten", 0))
    made = data.WindowDataset(encode([one], tiny.tokenizer(), max_length=100))
    assert made.rows[0][2] == [labels(made.encoded[0], one.answers[1])[0]]


@given(st.lists(st.sampled_from(range(len(ODD))), max_size=12), st.sampled_from([None, 1, 3]), st.integers(0, 3))
def test_the_counts_add_up_to_the_file(chosen: list[int], most: int | None, seed: int) -> None:
    made = [replace(ODD[kind], id=str(number), passage=f"{PASSAGE} {number % 5}") for number, kind in enumerate(chosen)]
    whole = [*made, *(replace(ODD[0], id=f"p{number}", passage=f"{PASSAGE} n{number}") for number in range(20))]
    options = Options(
        train_file=(Path("odd.json"),), validation_fraction=0.3, max_examples=most, seed=seed, max_overlap=1
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "read_examples", lambda path: whole)
        patch.setattr(data, "described", lambda paths: [])
        _, _, found = data.datasets(data.load(options), tiny.tokenizer(), 384, "first")
    record = found.record
    assert record["questions"] == len(whole)
    assert record["train_questions"] + sum(record["left_out"].values()) + record["held_out"] == len(whole)
    assert record["validation_questions"] + sum(record["held_out_left_out"].values()) == record["held_out"]


def test_what_is_trained_on_is_said_before_it_and_recorded(tmp_path, files, train, capsys):
    made = [*tiny.examples(12), replace(tiny.examples(13)[12], id="bare", answers=())]
    write_json(tmp_path / "some.json", to_squad(made))
    folder = train(lora.METHOD, "--train-file", str(tmp_path / "some.json"), "--validation-file", str(files[1]),
                   "--drop-overlap", "--epochs", "1")  # fmt: skip
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train: Trained on ")]
    record = json.loads((folder / "run.json").read_text())["data"]
    assert said == [f"train: {record['summary']}"]
    assert record["summary"].startswith("Trained on 12 of 13 questions; left out: 1 on passages that overlap held-out")
    assert record["train_questions"] == 12


def test_a_split_by_passage_shares_none_and_one_by_article_shares_no_article():
    examples = [example for example in tiny.examples(20) for _ in range(3)]
    train, held = data.split_by_passage(examples, 0.2)
    assert 6 <= len(held) <= 18
    assert {one.passage for one in train}.isdisjoint(one.passage for one in held)
    train, held = split.split_by_article(examples, 0.2, seed=0)
    assert len(held) == 12
    assert {one.title for one in train}.isdisjoint(one.title for one in held)


def test_a_passage_is_held_out_whatever_else_is_trained_on():
    some, more = tiny.examples(40)[:20], tiny.examples(40)
    _, held = data.split_by_passage(some, 0.2)
    _, held_of_more = data.split_by_passage(more, 0.2)
    assert held == [one for one in held_of_more if one in some]
    assert len(held_of_more) > len(held) > 0


def test_sampled_answers_use_every_gold_answer_and_first_only_the_first():
    passage = "The river flows to sea 42."
    golds = (Answer("sea 42", passage.index("sea 42")), Answer("sea", passage.index("sea")))
    encoded = encode([Example("q", "", passage, "where", golds)], tiny.tokenizer())
    sampled, first = data.WindowDataset(encoded, sampled=True), data.WindowDataset(encoded)
    assert len({sampled[0]["end"] for _ in range(50)}) == 2
    assert len({first[0]["end"] for _ in range(50)}) == 1


def test_the_files_of_a_split_are_read_back(files, tmp_path, capsys):
    split.main([str(files[0]), "--fraction", "0.25", "--output", str(tmp_path / "split")])
    held = read_examples(tmp_path / "split" / "train-validation.json")
    assert len(held) == 3
    assert "3 questions" in capsys.readouterr().out


def test_a_file_that_would_leave_one_side_of_a_split_empty_is_refused(files, tmp_path, capsys):
    write_json(tmp_path / "one.json", to_squad([replace(one, title="Rivers") for one in tiny.examples(4)]))
    line = refused(capsys, split.main, [str(tmp_path / "one.json"), "--output", str(tmp_path / "split")])
    assert "one.json cannot be parted: it takes two titles" in line
    line = refused(capsys, split.main, [str(files[0]), "--fraction", "0", "--output", str(tmp_path / "split")])
    assert "a --fraction between 0 and 1" in line
    assert not (tmp_path / "split").exists()


def test_a_run_says_which_columns_were_taken_for_what_and_its_first_process_alone(tmp_path, capsys, monkeypatch):
    rows = "".join(f"Town {number} is old.,What is old?,Town {number}\n" for number in range(20))
    (tmp_path / "towns.csv").write_text(f"context,query,answer_text\n{rows}", encoding="utf-8")
    options = Options(train_file=(tmp_path / "towns.csv",))
    data.load(options)
    said = "towns.csv: passages from 'context'; questions from 'query'; gold answers from 'answer_text'. Read: 20"
    assert said in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    data.load(options)
    assert capsys.readouterr().err == ""
