"""The `/predict_batch` endpoint: as a function, and over HTTP with what docs/api.md says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from qa_compare.page import endpoints
from qa_compare.workbench.service import Service
from tests import batch_fixture
from tests.batch_fixture import BAD, NAME, NAMES, QUESTION, serving, written
from tests.places import ROOT

pytestmark = pytest.mark.slow

rivers, service, served = batch_fixture.rivers, batch_fixture.service, batch_fixture.served


@pytest.fixture
def predict_batch(service: Service) -> Callable[..., dict[str, Any]]:
    with gr.Blocks() as page:
        made = endpoints.batch_endpoint(page, service)
    return lambda *given, **named: made(gr.Request(session_hash="one"), *given, **named)


def test_the_endpoint_answers_and_scores_a_list(predict_batch: Callable[..., dict[str, Any]]) -> None:
    found = predict_batch([{**QUESTION, "id": "a", "answers": ["the north"]}, QUESTION])
    assert (found["backbone"], found["questions"], found["gold"]) == (NAME, 2, 1)
    assert [one["variant"] for one in found["scores"]] == NAMES
    assert set(found["scores"][0]["f1"]) == {"value", "low", "high", "resampled", "units", "by_question"}
    assert found["notes"] == ["1 of 2 questions has no gold answer and is left out of the scores."]
    assert (found["unanswerable"], found["scores"][0]["squad2"]) == (0, None)
    first, second = found["predictions"]
    assert (first["id"], first["gold"], second["gold"]) == ("a", ["the north"], [])
    assert list(first["variants"]) == NAMES
    for answer in first["variants"].values():
        assert QUESTION["passage"][answer["start"] : answer["end"]] == answer["answer"] != ""
    assert second["variants"]["base"]["f1"] is None
    assert found["problems"] == []
    json.dumps(found, allow_nan=False)


def test_the_endpoint_says_what_a_gold_answer_lost_and_which_question_was_cut(
    predict_batch: Callable[..., dict[str, Any]],
) -> None:
    given = [
        {**QUESTION, "answers": ["the north", "south"]},
        {**QUESTION, "question": "where " * 80, "answers": [["x"]]},
    ]
    found = predict_batch(given)
    assert found["golds"] == [
        'questions[0]: the gold answer "south" is not in its passage',
        "questions[1]: a gold answer is missing or not a text: it was not taken",
    ]
    assert [one["question_cut"] for one in found["predictions"]] == [False, True]
    assert found["notes"] == [
        "1 of 2 questions has no gold answer and is left out of the scores.",
        "1 question is longer than 64 tokens: only its beginning was read",
    ]
    assert (found["questions"], found["gold"]) == (2, 1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "give either questions or a file"),
        ({"questions": [QUESTION], "file": {"path": "x"}}, "give either questions or a file"),
        ({"questions": []}, "questions is a list of objects"),
        ({"questions": {"passage": "x"}}, "questions is a list of objects"),
        ({"questions": "Where?"}, "questions is a list of objects"),
        ({"questions": [[QUESTION]]}, r"questions\[0\]: is not an object"),
        ({"questions": [QUESTION, {**QUESTION, "question": float("nan")}]}, r"questions\[1\]: its question is missing"),
        (
            {"questions": [{**QUESTION, "passage": {"text": "x"}}]},
            r"questions\[0\]: its passage .* is missing",
        ),
        ({"questions": [{**QUESTION, "question": ""}, 5]}, r"its question is empty \(and 1 more\)"),
        ({"questions": [{**QUESTION, "id": float("inf")}]}, "its id is not a text"),
        ({"questions": [QUESTION] * 1001}, "1,001 questions are too many for one request: at most 1,000"),
        ({"questions": [{**QUESTION, "passage": "x" * 200_000}] * 11}, "characters of passages are too many"),
        ({"questions": [QUESTION], "backbone": "odd"}, "unknown backbone 'odd': there are river-bert"),
        ({"questions": [QUESTION], "backbone": 5}, "unknown backbone 5"),
        ({"questions": [QUESTION], "backbone": "bert-tiny"}, "the weights of bert-tiny"),
        ({"questions": [QUESTION], "variants": "lora"}, "variants are a list of names"),
        ({"questions": [QUESTION], "variants": ["odd"]}, "unknown variant 'odd'"),
        ({"file": "questions.csv"}, "file is not an uploaded one"),
        ({"file": {"path": 5}}, "file is not an uploaded one"),
        ({"file": {"path": "/etc/passwd"}}, "file is not an uploaded one"),
        ({"file": {"path": "\0"}}, "file is not an uploaded one"),
    ],
)
def test_the_endpoint_refuses_in_a_sentence(
    predict_batch: Callable[..., dict[str, Any]], given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(gr.Error, match=sentence):
        predict_batch(**given)


def test_a_path_that_leads_out_of_the_uploads_is_not_read(
    predict_batch: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rivers: str
) -> None:
    inside = tmp_path / "uploads"
    inside.mkdir()
    (inside / "link.json").symlink_to(rivers)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(inside))
    for path in (str(inside / "link.json"), str(inside / ".." / "rivers.json")):
        with pytest.raises(gr.Error, match="file is not an uploaded one"):
            predict_batch(file={"path": path})


def test_what_visitors_brought_is_deleted_when_the_page_stops(service: Service, rivers: str, tmp_path: Path) -> None:
    def files() -> list[str]:
        return [path.name for path in (tmp_path / "uploads").rglob("*") if path.is_file()]

    with serving(service, tmp_path / "uploads") as address:
        Client(address, verbose=False).predict(file=handle_file(rivers), api_name="/predict_batch")
        assert files() == ["rivers.json"]
    assert files() == []


def test_a_client_sends_a_file_or_a_list(served: str, rivers: str, tmp_path: Path) -> None:
    client = Client(served, verbose=False)
    found = client.predict(file=handle_file(rivers), variants=["lora"], api_name="/predict_batch")
    assert (found["questions"], found["gold"], [one["variant"] for one in found["scores"]]) == (12, 12, ["lora"])
    assert client.predict(questions=[QUESTION], api_name="/predict_batch")["questions"] == 1
    with pytest.raises(AppError, match=r"towns.csv: line 3: its passage .* \(and 1 more\)"):
        client.predict(file=handle_file(written(tmp_path, "towns.csv", BAD)), api_name="/predict_batch")


def test_the_documents_example_runs(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    section = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").split("## Many questions")[1]
    code = section.split("```python\n")[1].split("```")[0]
    assert "http://127.0.0.1:7860" in code
    exec(code.replace("http://127.0.0.1:7860", served), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["Base", "LoRA", "row-1"]


def test_the_endpoint_is_documented_and_the_controls_are_not(served: str) -> None:
    found = Client(served, verbose=False).view_api(return_format="dict")["named_endpoints"]
    assert set(found) == {"/compare", "/metrics", "/errors", "/predict_batch"}
    given = [one["parameter_name"] for one in found["/predict_batch"]["parameters"]]
    assert given == ["questions", "file", "backbone", "variants"]
    assert found["/predict_batch"]["description"].startswith("Answer up to 1,000 questions")
