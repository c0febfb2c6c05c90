"""One question or many, one variant or all: the same answers, in order, within limits."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from qa_compare.data.examples import MAX_PASSAGE, MAX_QUESTION, Example
from qa_compare.errors import UserError
from qa_compare.inference.comparison import Comparison, VariantAnswer
from qa_compare.inference.decoding import Candidate, Prediction, notes
from qa_compare.inference.engine import AnswerCache, Cancelled, Engine
from qa_compare.models.features import question_limit
from tests import tiny


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("engine")
    return Engine(str(tiny.checkpoint(folder / "checkpoint")), adapters=folder, precision="fp32", batch_size=4)


def test_answers_come_in_order_and_do_not_depend_on_the_batch(engine):
    examples = tiny.examples(20)
    examples[3] = dataclasses.replace(examples[3], passage=examples[3].passage * 40)
    together = engine.predict(examples, "base")
    assert [prediction.id for prediction in together] == [example.id for example in examples]
    assert together[3].windows > 1
    logits = [row for pair in engine.logits(engine.encode(examples), "base") for rows in pair for row in rows]
    spread = np.ptp(np.concatenate(logits))  # a score may be nought; what batches change is small beside the logits
    for example, prediction in zip(examples, together, strict=True):
        [alone] = engine.predict([example], "base")
        assert [one.text for one in alone.candidates] == [one.text for one in prediction.candidates]
        np.testing.assert_allclose(
            [one.score for one in alone.candidates],
            [one.score for one in prediction.candidates],
            rtol=0,
            atol=1e-5 * spread,
        )


def test_a_passage_of_100000_characters_is_answered_over_windows(engine):
    answer = engine.compare("the river flows to the sea and " * 3300, "where", ["base"]).answers[0]
    assert answer.prediction.windows > 50
    assert answer.prediction.candidates


def test_progress_counts_up_to_all_and_cancelling_stops(engine):
    seen: list[tuple[int, int]] = []
    engine.predict(tiny.examples(10), "base", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)
    with pytest.raises(Cancelled):
        engine.predict(tiny.examples(10), "base", cancelled=lambda: True)


def test_where_memory_runs_out_a_batch_is_halved_and_then_the_column_says_so(engine, monkeypatch):
    examples, passes = tiny.examples(4), []
    expected = [one.answer for one in engine.predict(examples, "base")]
    whole = engine._pass

    def narrow(variant, windows):
        passes.append(len(windows))
        if len(windows) > most:
            raise MemoryError
        return whole(variant, windows)

    monkeypatch.setattr(engine, "_pass", narrow)
    most = 2
    assert [one.answer for one in engine.predict(examples, "base")] == expected
    assert passes == [4, 2, 2]
    most = 0
    answer = engine.compare("the river flows home", "where", ["base"]).answers[0]
    assert answer.prediction is None
    assert "not enough memory" in answer.problem


def test_a_comparison_is_cancelled_between_two_batches_and_nothing_of_it_is_kept(engine):
    passage = "the river flows to the sea and " * 400
    asked = iter([False, False])
    with pytest.raises(Cancelled):
        engine.compare(passage, "where", ["base"], cancelled=lambda: next(asked, True))
    assert engine.compare(passage, "where", ["base"], cancelled=lambda: False).answers[0].prediction


@pytest.fixture
def passes(engine, monkeypatch):
    """How many windows each forward pass got."""
    seen: list[int] = []
    forward = engine._turns._forward
    monkeypatch.setattr(
        engine._turns, "_forward", lambda variant, some: seen.append(len(some)) or forward(variant, some)
    )
    return seen


def test_the_same_question_again_takes_no_forward_pass_and_gives_the_same(engine, passes):
    first = engine.compare("the river 1 flows", "where")
    assert engine.compare("the river 1 flows", "where") == first
    assert passes == [1]


@pytest.mark.parametrize(
    "change", [{"passage": "the river 3 flows"}, {"question": "who"}, {"top": 4}, {"precision": "bf16"}]
)
def test_another_passage_question_number_of_answers_or_precision_is_another_question(
    engine, passes, monkeypatch, change
):
    asked = {"passage": "the river 2 flows", "question": "where", "top": 5}
    engine.compare(**asked)
    passes.clear()
    monkeypatch.setattr(engine, "precision", change.pop("precision", "fp32"))
    engine.compare(**asked | change)
    assert passes == [1]


def test_answers_are_forgotten_one_by_one_when_there_are_too_many(engine, passes, monkeypatch):
    monkeypatch.setattr(engine, "_remembered", AnswerCache(2))
    for number in (1, 2, 3, 3, 1):
        engine.compare(f"the river {number} rises", "where")
    assert len(passes) == 4
    assert len(engine._remembered) == 2


def test_sixteen_threads_get_the_answers_that_one_gets(engine):
    examples = tiny.examples(16)
    alone = [engine.predict([one], "base")[0].answer for one in examples]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda one: engine.compare(one.passage, one.question), examples))
    assert [one.answers[0].answer for one in found] == alone
    assert [one.passage for one in found] == [one.passage for one in examples]


@pytest.mark.parametrize(
    ("passage", "question", "sentence"),
    [
        ("", "where", "The passage is empty"),
        (" \n\t\u3000", "where", "The passage is empty"),
        ("the sea", "", "The question is empty"),
        ("the sea", "w" * (MAX_QUESTION + 1), "The question has 2,001 characters; at most 2,000"),
        ("s" * (MAX_PASSAGE + 1), "where", "The passage has 200,001 characters; at most 200,000"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_sentence(engine, passage, question, sentence):
    with pytest.raises(UserError, match=sentence):
        engine.compare(passage, question)


def test_a_question_of_1900_characters_is_cut_with_a_warning(engine):
    comparison = engine.compare("the river flows", "where " * 316)
    assert comparison.warnings == ("The question is longer than 64 tokens: only its beginning was read.",)
    assert comparison.answers[0].prediction.question_cut


@pytest.mark.parametrize("table", [8, 16, 32, 64, 128])
def test_an_encoder_with_a_small_table_of_positions_answers_and_says_how_much_of_the_question_it_read(tmp_path, table):
    folder = tiny.checkpoint(tmp_path / "checkpoint", max_position_embeddings=table)
    small = Engine(str(folder), adapters=tmp_path, precision="fp32")
    comparison = small.compare("the river flows to the sea and " * 94 + "the river", "where " * 64, ["base"])
    prediction = comparison.answers[0].prediction
    assert prediction.candidates
    read = question_limit(small.max_length)
    assert comparison.warnings == (f"The question is longer than {read} tokens: only its beginning was read.",)
    assert prediction.windows <= 2 * -(-660 // (small.max_length - 3 - read))
    assert not small.compare("the river", "where", ["base"]).warnings


def test_a_passage_that_the_vocabulary_does_not_know_is_answered_with_a_warning(engine):
    comparison = engine.compare("\u0440\u0435\u043a\u0430 \u0442\u0435\u0447\u0451\u0442 the sea", "where")
    assert not comparison.warnings
    comparison = engine.compare("\u0440\u0435\u043a\u0430 \u0442\u0435\u0447\u0451\u0442 sea", "where")
    sentence = "Most of the passage is unknown to this model's vocabulary: no answer can be relied on."
    assert comparison.warnings == (sentence,)
    [prediction] = engine.predict([Example("", "", comparison.passage, "where")], "base")
    assert notes([prediction]) == [
        "the answer to 1 question cannot be relied on: most of the text is unknown to this model's vocabulary"
    ]


def test_a_checkpoint_without_a_tokenizer_answers_nothing(tmp_path):
    folder = tiny.checkpoint(tmp_path / "checkpoint")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(UserError, match="holds no tokenizer"):
        Engine(str(folder), adapters=tmp_path).compare("the river", "where")


def test_an_encoder_whose_head_is_not_trained_answers_nothing_but_for_an_adapter_that_brings_one(tmp_path):
    folder = tiny.checkpoint(tmp_path / "checkpoint", head=False)
    bare = Engine(str(folder), adapters=tmp_path / "adapters")
    [base] = bare.compare("the river", "where").answers
    assert base.prediction is None
    assert f"python -m train.base --head-only --backbone {folder}" in base.problem
    with pytest.raises(UserError, match="comes without a question-answering head"):
        bare.predict(tiny.examples(1), "base")
    with pytest.raises(UserError, match="comes without a question-answering head"):
        _ = bare.base


def test_an_unknown_variant_or_precision_is_refused_with_the_known_ones(engine):
    with pytest.raises(UserError, match="unknown variant 'x' of checkpoint: there are base"):
        engine.compare("the sea", "where", ["x"])
    with pytest.raises(UserError, match="choose auto, fp32 or bf16"):
        Engine(precision="int3")


@pytest.mark.parametrize("text", ["<script>alert(1)</script> the river", "a\x00b\x07 the river", "the \ud83d river"])
def test_markup_and_control_characters_are_text_like_any_other(engine, text):
    candidate = engine.compare(text, text, ["base"]).answers[0].prediction.candidates[0]
    assert text[candidate.start : candidate.end] == candidate.text


def column(label: str, text: str | None) -> VariantAnswer:
    if text is None:
        return VariantAnswer(label.lower(), label, None, problem="broken")
    return VariantAnswer(label.lower(), label, Prediction("", (Candidate(text, 0, len(text), 1.0, 0.5),), 0.0, 1))


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["the Nile", "Nile", "nile."], "All three agree: “the Nile”."),
        (["Nile", "Rhine", "nile"], "Base and Prompt agree on “Nile”; LoRA says “Rhine”."),
        (["Nile", "Rhine", "Elbe"], "All three differ."),
        (["Nile", None, "Nile"], "Both agree: “Nile”."),
        (["Nile", None, "Elbe"], "The two disagree."),
        ([None, None, "Elbe"], "Only Prompt answers: “Elbe”."),
        ([None, None, None], "No variant found an answer."),
    ],
)
def test_one_sentence_says_who_agrees_with_whom(texts, sentence):
    answers = tuple(column(label, text) for label, text in zip(("Base", "LoRA", "Prompt"), texts, strict=True))
    assert Comparison("", "", answers).agreement == sentence


def test_the_dictionary_has_the_documented_keys(engine):
    found = engine.compare("the river flows", "where").as_dict()
    assert set(found) == {"question", "agreement", "warnings", "variants"}
    assert {"variant", "answer", "start", "end", "confidence", "latency_ms", "candidates"} <= set(found["variants"][0])


def test_the_adapters_folder_may_be_missing(tmp_path: Path):
    engine = Engine(str(tiny.checkpoint(tmp_path / "checkpoint")), adapters=tmp_path / "nowhere")
    assert [variant.name for variant in engine.variants] == ["base"]
