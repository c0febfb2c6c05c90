"""Where the page's questions come from, which backbone can answer, and what a visitor's mistake gets."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from qa_compare.data import readers, sources
from qa_compare.data.examples import Answer, Example, to_squad
from qa_compare.data.sources import sample
from qa_compare.errors import UserError
from qa_compare.files import write_json
from qa_compare.inference.engine import Engine
from qa_compare.workbench import service
from qa_compare.workbench.service import SAMPLE, SQUAD, UPLOAD, Questions, Service
from tests import tiny
from tests.patience import LONG

PASSAGE, QUESTION = "The river rises in the north and flows to the sea.", "Where flows the river to?"


@pytest.fixture(scope="module")
def river(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A backbone that is at hand, found at the start as the page does with one that is named by an option."""
    folder = tmp_path_factory.mktemp("service")
    engine = Engine(str(tiny.checkpoint(folder / "river")), adapters=folder / "adapters", precision="fp32")
    assert engine.located.folder.name == "river"
    return engine


@pytest.fixture
def made(river: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Three backbones: one ready, one whose weights are not here, one that has weights and no variant."""

    def download(hub_id: str, *, local_files_only: bool, **_options: Any) -> str:
        assert local_files_only, "a visitor's question must not wait for a download"
        raise LocalEntryNotFoundError(hub_id)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    nowhere = tmp_path / "nowhere"
    engines = {name: Engine(name, adapters=nowhere, precision="fp32") for name in ("bert-tiny", "minilm-l6")}
    return Service({"river": river, **engines}, "river")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_json(tmp_path / "mine.json", to_squad(tiny.examples(3)))
    return tmp_path / "mine.json"


def damaged(file: Path, *rows: int) -> str:
    """The file beside `file` whose questions `rows` are empty."""
    some = [
        dataclasses.replace(example, question="" if row in rows else example.question)
        for row, example in enumerate(tiny.examples(3))
    ]
    write_json(file.with_name("damaged.json"), to_squad(some))
    return str(file.with_name("damaged.json"))


def test_the_sample_is_read_once(made: Service) -> None:
    found = made.questions(SAMPLE)
    assert (found.label, found.note, list(found.examples)) == ("Built-in sample", "", sample())
    assert made.questions(SAMPLE) is found


def test_an_upload_is_named_after_its_file(made: Service, file: Path) -> None:
    found = made.questions(UPLOAD, str(file))
    assert (found.label, found.note, list(found.examples)) == ("mine.json", "", tiny.examples(3))


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ([1], "left out data[1].paragraphs[0].qas[0]: its question is empty"),
        ([0, 2], "left out data[0].paragraphs[0].qas[0]: its question is empty (1 more like it)"),
    ],
)
def test_an_upload_that_is_broken_in_part_says_what_was_left_out(
    made: Service, file: Path, rows: list[int], note: str
) -> None:
    found = made.questions(UPLOAD, damaged(file, *rows))
    assert found.note == note
    assert [one.id for one in found.examples] == [f"q{row}" for row in range(3) if row not in rows]


def test_an_upload_with_a_gold_answer_that_is_nowhere_says_so(made: Service, file: Path) -> None:
    some = [dataclasses.replace(one, answers=(*one.answers, Answer("nowhere", None))) for one in tiny.examples(3)]
    write_json(file.with_name("odd.json"), to_squad(some))
    found = made.questions(UPLOAD, str(file.with_name("odd.json")))
    assert found.note.startswith("3 gold answers are not in their passages: they are scored by their text")
    assert len(found.examples) == 3


def test_an_upload_without_one_good_question_is_refused_with_the_first_fault(made: Service, file: Path) -> None:
    with pytest.raises(UserError) as error:
        made.questions(UPLOAD, damaged(file, 0, 1, 2))
    assert str(error.value) == "damaged.json: data[0].paragraphs[0].qas[0]: its question is empty (2 more like it)"


def test_an_upload_over_the_limit_is_refused(made: Service, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_UPLOAD", file.stat().st_size - 1)
    with pytest.raises(UserError, match=r"mine\.json has .* MB"):
        made.questions(UPLOAD, str(file))


def test_squad_comes_from_the_file_that_was_given(river: Engine, file: Path) -> None:
    made = Service({"river": river}, "river", file)
    assert made.sources == [("Built-in sample", SAMPLE), ("mine.json", SQUAD)]
    assert (made.questions(SQUAD).label, list(made.questions(SQUAD).examples)) == ("mine.json", tiny.examples(3))
    with pytest.raises(UserError, match=r"nowhere\.json cannot be read"):
        Service({"river": river}, "river", file.with_name("nowhere.json")).questions(SQUAD)


def test_squad_comes_from_the_hub_else_and_a_failure_is_not_remembered(
    made: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> list[Example]:
        raise UserError("no hub")

    service._squad.cache_clear()
    monkeypatch.setattr(sources, "squad_validation", fail)
    with pytest.raises(UserError, match="no hub"):
        made.questions(SQUAD)
    monkeypatch.setattr(sources, "squad_validation", lambda: tiny.examples(2))
    assert made.sources[1] == ("SQuAD v1.1 validation (Hugging Face hub)", SQUAD)
    assert list(made.questions(SQUAD).examples) == tiny.examples(2)
    service._squad.cache_clear()


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"identifier": "q0"}, False),
        ({"identifier": "unknown"}, False),
        ({"identifier": None}, False),
        ({"passage": "The river 1 rises."}, False),
        ({"question": "Where flows the river?"}, False),
    ],
)
def test_gold_answers_stay_only_while_passage_and_question_do(change: dict[str, Any], kept: bool) -> None:
    asked = tiny.examples(3)[1]
    arguments = {"identifier": asked.id, "passage": asked.passage, "question": asked.question, **change}
    found = Questions("", tuple(tiny.examples(3))).gold(**arguments)
    assert found == ((Answer("sea 7", asked.passage.index("sea 7")),) if kept else ())


def test_questions_are_found_by_article_in_the_files_order() -> None:
    first, second, third = tiny.examples(3)
    third = dataclasses.replace(third, title=first.title)
    assert Questions("", (first, second, third)).by_title == {"River 0": [first, third], "River 1": [second]}


def test_a_backbone_is_ready_where_its_weights_and_a_variant_are(made: Service) -> None:
    found = {name: made.readiness(name) for name in made.engines}
    assert [one.ready for one in found.values()] == [True, False, False]
    assert found["river"].detail.startswith("the checkpoint in ")
    assert "mrm8488/bert-tiny-finetuned-squadv2 is not in the hub's cache" in found["bert-tiny"].detail
    assert "comes without a question-answering head" in found["minilm-l6"].detail


@pytest.mark.parametrize("found", [False, True])
def test_a_backbone_without_a_tokenizer_or_a_trained_head_is_not_ready(tmp_path: Path, found: bool) -> None:
    dumb = tiny.checkpoint(tmp_path / "dumb")
    (dumb / "tokenizer.json").unlink()
    folders = {"dumb": dumb, "bare": tiny.checkpoint(tmp_path / "bare", head=False)}
    engines = {str(folder): Engine(str(folder), adapters=tmp_path) for folder in folders.values()}
    for engine in engines.values() if found else ():
        assert engine.located
    made = Service(engines, str(dumb))
    states = {name: made.readiness(str(folder)) for name, folder in folders.items()}
    assert not any(state.ready for state in states.values())
    assert "holds no tokenizer" in states["dumb"].detail
    assert "python -m train.base --head-only" in states["bare"].detail
    with pytest.raises(UserError, match="holds no tokenizer"):
        made.compare(PASSAGE, QUESTION, str(dumb))


def test_a_question_is_answered_by_every_variant_and_goes_through_json(made: Service) -> None:
    found = made.compare(PASSAGE, QUESTION)
    assert [one.variant for one in found.answers] == ["base"]
    assert found.answers[0].answer in PASSAGE
    json.dumps(found.as_dict())


def test_the_first_answer_on_a_backbone_is_preceded_by_one_that_is_not_timed(
    made: Service, river: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(river, "compare", lambda _passage, question, _variants: asked.append(question))
    made.compare(PASSAGE, QUESTION)
    made.compare(PASSAGE, QUESTION, "river")
    assert asked == ["What is this?", QUESTION, QUESTION]


def test_warming_up_beside_loads_the_first_backbone_and_a_missing_one_is_no_fault(
    made: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.warm_up_beside().join(LONG)
    assert set(made._warm) == {("river", "base")}
    monkeypatch.setattr(made, "backbone", "bert-tiny")
    made.warm_up_beside().join(LONG)
    assert set(made._warm) == {("river", "base")}


@pytest.mark.parametrize(
    ("passage", "question", "backbone", "sentence"),
    [
        (" ", QUESTION, "river", "The passage is empty: write one first."),
        (PASSAGE, "\n", "river", "The question is empty: write one first."),
        (PASSAGE, "x" * 2_001, "river", "The question has 2,001 characters; at most 2,000 are read."),
        ("x" * 200_001, QUESTION, "bert-tiny", "The passage has 200,001 characters; at most 200,000 are read."),
        (PASSAGE, QUESTION, "bert-tiny", "the weights of bert-tiny are not on this machine: "),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_sentence(
    made: Service, passage: str, question: str, backbone: str, sentence: str
) -> None:
    with pytest.raises(UserError) as error:
        made.compare(passage, question, backbone)
    assert str(error.value).startswith(sentence)


def test_a_backbone_without_a_sound_variant_says_so_in_its_column(made: Service) -> None:
    found = made.compare(PASSAGE, QUESTION, "minilm-l6")
    assert found.agreement == "No variant found an answer."
    assert "train one: python -m train.base --head-only" in (found.answers[0].problem or "")
