"""The built-in questions hold what they promise; SQuAD's shape loses nothing; the hub is never waited for."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qa_compare import examples
from qa_compare.errors import UserError
from qa_compare.examples import Answer, Example, fingerprint, sample, squad_train, squad_validation, titles, to_squad
from qa_compare.files import write_json
from qa_compare.readers import read_examples
from qa_compare.slices import QUESTION_WORDS, question_word
from tests import tiny

DEV = Path(__file__).parents[2] / "shared" / "data" / "squad" / "dev-v1.1.json"
FIELDS = set("science history geography sport arts technology law medicine economy nature".split())
NOWHERE = "http://127.0.0.1:9"  # where nothing listens


def test_the_sample_has_200_questions_on_40_passages_of_100_to_250_words() -> None:
    passages = {example.passage for example in sample()}
    assert len(sample()) >= 200
    assert len(passages) >= 40
    assert [passage for passage in passages if not 100 <= len(passage.split()) <= 250] == []


def test_every_sample_question_has_one_to_three_answers_that_stand_at_their_offsets() -> None:
    for example in sample():
        assert 1 <= len(example.answers) <= 3, example.id
        assert len({answer.text for answer in example.answers}) == len(example.answers), example.id
        for answer in example.answers:
            assert example.passage[answer.start : answer.start + len(answer.text)] == answer.text, example.id


def test_sample_ids_and_questions_are_unique_and_cover_the_ten_fields() -> None:
    assert len({example.id for example in sample()}) == len(sample())
    assert len({example.question.casefold() for example in sample()}) == len(sample())
    assert {example.id.split("-")[0] for example in sample()} == FIELDS


def test_the_sample_asks_with_each_question_word_at_least_8_times() -> None:
    counts = Counter(question_word(example.question) for example in sample())
    assert {word: counts[word] for word in QUESTION_WORDS if word != "other" and counts[word] < 8} == {}


@pytest.mark.skipif(not DEV.is_file(), reason="SQuAD's validation file is not on this machine")
def test_no_sample_question_or_passage_is_squads() -> None:
    squad = read_examples(DEV)
    for texts in ("question", "passage"):
        theirs = {" ".join(getattr(example, texts).casefold().split()) for example in squad}
        ours = {" ".join(getattr(example, texts).casefold().split()) for example in sample()}
        assert ours & theirs == set()


@st.composite
def any_examples(draw: st.DrawFn) -> list[Example]:
    """Few passages and titles, so that neighbours share them; answers that stand in the passage, blank ones aside."""
    filled = st.text(min_size=1, max_size=12).filter(str.strip)
    passages = draw(st.lists(filled, min_size=1, max_size=2))
    made = []
    for id in draw(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=5, unique=True)):
        passage = draw(st.sampled_from(passages))
        spans = draw(st.lists(st.tuples(st.integers(0, 11), st.integers(1, 12)), max_size=3))
        answers = [Answer(passage[start:][:length], start) for start, length in spans]
        golds = tuple(answer for answer in answers if answer.text.strip())
        made.append(Example(id, draw(st.sampled_from(["", "Rivers"])), passage, draw(filled), golds))
    return made


@given(any_examples())
@settings(max_examples=60, deadline=None)
def test_what_is_written_as_squad_json_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, some: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    write_json(path, to_squad(some))
    assert read_examples(path) == some


def test_neighbours_of_one_title_and_passage_stand_together() -> None:
    first, other = tiny.examples(2)
    again = dataclasses.replace(first, id="again")
    data = to_squad([first, again, other])["data"]
    assert [[len(one["qas"]) for one in article["paragraphs"]] for article in data] == [[2], [1]]
    assert titles([first, other, again]) == ["River 0", "River 1"]


@given(any_examples(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_fingerprint_depends_on_no_order_offset_or_repeated_answer(
    some: list[Example], chance: random.Random
) -> None:
    other = [
        dataclasses.replace(
            example, title="x", answers=tuple(dataclasses.replace(one, start=0) for one in example.answers[::-1] * 2)
        )
        for example in some
    ]
    chance.shuffle(other)
    assert fingerprint(other) == fingerprint(some)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"},
        {"passage": "the sea"},
        {"question": "Why?"},
        {"answers": (Answer("river", 4),)},
        {"answers": ()},
    ],
)
def test_the_fingerprint_is_changed_by_any_text(change: dict[str, Any]) -> None:
    first, *rest = tiny.examples(3)
    assert fingerprint([dataclasses.replace(first, **change), *rest]) != fingerprint([first, *rest])
    assert fingerprint(rest) != fingerprint([first, *rest])


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and a hub that refuses connections."""
    for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for constant in ("huggingface_hub.constants.HF_HUB_OFFLINE", "datasets.config.HF_HUB_OFFLINE"):
        monkeypatch.setattr(constant, False)
    for constant in ("huggingface_hub.constants.ENDPOINT", "datasets.config.HF_ENDPOINT"):
        monkeypatch.setattr(constant, NOWHERE)


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("offline", ["1", ""])
@pytest.mark.parametrize(("load", "split"), [(squad_validation, "validation"), (squad_train, "train")])
def test_squad_without_a_hub_is_a_sentence_at_once(
    monkeypatch: pytest.MonkeyPatch, offline: str, load: Any, split: str
) -> None:
    from datasets import config

    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    before = config.HF_HUB_OFFLINE
    begin = time.monotonic()
    with pytest.raises(UserError) as error:
        load()
    assert time.monotonic() - begin < 10
    assert str(error.value) == (
        f"SQuAD ({split}) is not on this machine and the Hugging Face hub cannot be reached: "
        "give a SQuAD JSON file instead"
    )
    assert config.HF_HUB_OFFLINE is before


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(("hang", "answers"), [(True, False), (False, True)])
def test_a_hub_that_keeps_silent_is_given_up_after_seconds(
    monkeypatch: pytest.MonkeyPatch, hang: bool, answers: bool
) -> None:
    released = threading.Event()

    def connect(*_address: Any, **_options: Any) -> threading.Lock:
        if hang:
            released.wait(20)
        return threading.Lock()  # closes as a socket does

    monkeypatch.setattr("socket.create_connection", connect)
    monkeypatch.setattr(examples, "_PROBE_SECONDS", 0.2)
    begin = time.monotonic()
    assert examples._hub_answers() is answers
    assert time.monotonic() - begin < 5
    released.set()


@pytest.mark.usefixtures("no_hub")
def test_behind_a_proxy_the_library_is_left_to_find_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not examples._hub_answers()
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert examples._hub_answers()


def test_the_hubs_rows_have_the_files_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.examples(3)
    rows = [
        {
            "id": one.id,
            "title": one.title,
            "context": one.passage,
            "question": one.question,
            "answers": {"text": [gold.text for gold in one.answers], "answer_start": [g.start for g in one.answers]},
        }
        for one in made
    ]
    monkeypatch.setattr(examples, "_hub_answers", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", lambda *_names, **_options: rows)
    assert squad_validation() == made
    assert fingerprint(squad_validation()) == fingerprint(made)


def test_a_hub_that_answers_and_then_fails_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_names: str, **_options: Any) -> None:
        raise json.JSONDecodeError("bad", "", 0)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(examples, "_hub_answers", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", fail)
    with pytest.raises(UserError, match=r"the hub did not give it \(JSONDecodeError\): give a SQuAD JSON file"):
        squad_validation()
