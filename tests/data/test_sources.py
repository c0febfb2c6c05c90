"""The built-in questions hold what they promise; the hub is never waited for, and its rows are those of the files."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from qa_compare.data import sources
from qa_compare.data.examples import Example, fingerprint
from qa_compare.data.sources import sample, squad_train, squad_validation
from qa_compare.errors import UserError
from qa_compare.measure.slices import QUESTION_WORDS, question_word
from tests import tiny
from tests.patience import LONG

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


def test_no_sample_question_or_passage_is_squads(squad: list[Example]) -> None:
    for texts in ("question", "passage"):
        theirs = {" ".join(getattr(example, texts).casefold().split()) for example in squad}
        ours = {" ".join(getattr(example, texts).casefold().split()) for example in sample()}
        assert ours & theirs == set()


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
    assert time.monotonic() - begin < 20  # the library's own tries take 25
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
            released.wait(LONG)
        return threading.Lock()  # closes as a socket does

    monkeypatch.setattr("socket.create_connection", connect)
    monkeypatch.setattr(sources, "_PROBE_SECONDS", 0.2)
    begin = time.monotonic()
    try:
        assert sources._hub_answers() is answers
        assert time.monotonic() - begin < LONG / 2  # it did not wait for the end of that silence
    finally:
        released.set()


@pytest.mark.usefixtures("no_hub")
def test_behind_a_proxy_the_library_is_left_to_find_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not sources._hub_answers()
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert sources._hub_answers()


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
    monkeypatch.setattr(sources, "_hub_answers", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", lambda *_names, **_options: rows)
    assert squad_validation() == made
    assert fingerprint(squad_validation()) == fingerprint(made)


def test_a_hub_that_answers_and_then_fails_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_names: str, **_options: Any) -> None:
        raise json.JSONDecodeError("bad", "", 0)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(sources, "_hub_answers", lambda: True)
    monkeypatch.setattr("datasets.load_dataset", fail)
    with pytest.raises(UserError, match=r"the hub did not give it \(JSONDecodeError\): give a SQuAD JSON file"):
        squad_validation()
