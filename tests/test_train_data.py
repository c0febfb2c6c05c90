"""What a run learns from: read, split by passage, kept apart from what is held out, cut into labelled windows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qa_compare.errors import UserError
from qa_compare.examples import Answer, Example, to_squad
from qa_compare.features import encode
from qa_compare.files import write_json
from qa_compare.readers import read_examples
from tests import tiny, training_fixture
from tests.training_fixture import refused
from train import data, split
from train.options import Options

files = training_fixture.files


def sentence(number: int, passage: str) -> Example:
    return Example(f"s{number}", "Sentences", passage, "Where?", (Answer(passage[:3], 0),))


def test_training_passages_that_stand_in_a_held_out_passage_are_refused_by_name_or_dropped():
    held = [sentence(0, "The Nile is long. The  Rhine is shorter. The Elbe is there.")]
    train = [sentence(1, "the rhine is shorter."), sentence(2, "The Danube is longer.")]
    with pytest.raises(UserError, match=r"1 training passage\(s\) also stand .* 's1' \('Sentences'\)"):
        data.without_leaks(train, held, drop=False)
    assert data.without_leaks(train, held, drop=True) == train[1:]


def test_a_test_set_is_kept_out_of_training_though_it_is_not_validated_on(files, tmp_path):
    write_json(tmp_path / "test.json", to_squad(tiny.examples(4)))
    options = Options(train_file=(files[0],), validation_file=files[1], keep_out=(tmp_path / "test.json",))
    with pytest.raises(UserError, match=r"4 training passage\(s\) also stand .* first that of 'q0'"):
        data.load(options)
    found = data.load(replace(options, drop_overlap=True))
    assert [one.id for one in found.train] == [f"q{number}" for number in range(4, 12)]
    assert [one.id for one in found.validation] == [f"q{number}" for number in range(12, 16)]
    assert found.record["kept_out"][0]["name"] == "test.json"


def test_files_without_an_answered_question_are_refused(files, tmp_path):
    bare = [replace(one, answers=()) for one in tiny.examples(20)[16:]]
    write_json(tmp_path / "bare.json", to_squad(bare))
    with pytest.raises(UserError, match="no answered question is left to train on"):
        data.load(Options(train_file=(tmp_path / "bare.json",), validation_file=files[1]))
    with pytest.raises(UserError, match="no validation question is left"):
        data.load(Options(train_file=(files[0],), validation_file=tmp_path / "bare.json"))


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
