"""The handlers behind the page as plain functions, and the `/compare` endpoint for programs."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from qa_compare.data.sources import sample
from qa_compare.page import shell
from qa_compare.page.compare import compare_tab, opening
from qa_compare.workbench.answers import Inspector
from qa_compare.workbench.chance import ANY
from qa_compare.workbench.service import SAMPLE, SQUAD, UPLOAD, Service
from qa_compare.workbench.session import Session
from tests import tiny
from tests.conftest import BACKBONE, SHIPPED
from tests.places import ROOT

pytestmark = pytest.mark.slow

CLOSED = opening.Opened(BACKBONE, source="")
PASSAGE = "The Seine rises in Burgundy and flows through Paris and Rouen to the English Channel."
QUESTION = "Where does the Seine rise?"
Compare = Callable[[str, str], dict[str, Any]]


def answer(service: Service, backbone: str, number: str | None, passage: str, question: str) -> list[Any]:
    """What a visitor's first question about the sample brings."""
    return compare_tab.answer(service, backbone, (), SAMPLE, "", number, passage, question, Session())


def test_a_question_of_a_source_is_answered_and_marked(service: Service) -> None:
    first = sample()[0]
    verdict, cards, *_ = answer(service, BACKBONE, first.id, first.passage, first.question)
    assert "Gold answer" in verdict
    assert re.findall(r'data-variant="([^"]+)"', cards) == list(SHIPPED)
    assert cards.count('class="badge') == 3


@pytest.mark.parametrize("number", [None, sample()[0].id, "unknown"])
def test_a_text_of_ones_own_is_answered_and_not_marked(service: Service, number: str | None) -> None:
    verdict, cards, *_ = answer(service, BACKBONE, number, PASSAGE, QUESTION)
    assert "No gold answer" in verdict
    assert cards.partition("<article")[2].count("mark class") == 3  # the legend before them has its own
    assert "badge" not in cards


@pytest.mark.parametrize(
    ("backbone", "passage", "question", "sentence"),
    [
        (BACKBONE, PASSAGE, "  ", "The question is empty: write one first."),
        (BACKBONE, "", QUESTION, "The passage is empty: write one first."),
        (BACKBONE, PASSAGE, "x" * 2_001, "The question has 2,001 characters; at most 2,000 are read."),
        ("bert-tiny", PASSAGE, QUESTION, "The weights of bert-tiny are not on this machine"),
    ],
)
def test_what_cannot_be_answered_gets_one_sentence_and_empty_cards(
    service: Service, backbone: str, passage: str, question: str, sentence: str
) -> None:
    verdict, cards, *others = answer(service, backbone, None, passage, question)
    assert all(skipped(one) for one in others)
    assert sentence in verdict
    assert verdict.count("<p") == 1
    assert cards.count("<article") == len(service.engines[backbone].default_variants)
    assert 'class="time"></span>' in cards


def test_a_source_opens_with_its_first_question(service: Service) -> None:
    first = sample()[0]
    _, _, article, number, passage, question, status, opened = opening.open_source(service, CLOSED, SAMPLE, "")
    assert (article["value"], number["value"], passage, question) == (
        first.title,
        first.id,
        first.passage,
        first.question,
    )
    assert f"{len(sample())} questions" in status
    assert [key for _, key in number["choices"]] == [one.id for one in sample() if one.title == first.title]
    assert opened == opening.Opened(BACKBONE, SAMPLE, "", first.id, turn=1)


def test_what_is_open_is_not_opened_again_and_nothing_is_asked(service: Service, squad_file: Path) -> None:
    first = sample()[0]
    opened = opening.Opened(BACKBONE, SAMPLE, "", first.id, turn=3)
    for again in (
        opening.open_source(service, opened, SAMPLE, ""),
        opening.open_article(service, opened, SAMPLE, "", first.title),
        opening.open_question(service, opened, SAMPLE, "", first.id),
    ):
        assert len(again) == opening.SHOWN
        assert all(map(skipped, again))
    there = opening.open_file(service, opened, str(squad_file))[-1]
    assert there.turn == 4
    assert all(map(skipped, opening.open_source(service, there, UPLOAD, str(squad_file))))
    assert opening.open_source(service, there, SAMPLE, "")[-1].turn == 5


def test_a_choice_from_a_list_that_was_exchanged_since_is_left_alone(service: Service) -> None:
    opened = opening.Opened(BACKBONE, SAMPLE, "", sample()[0].id)
    assert all(map(skipped, opening.open_article(service, opened, SAMPLE, "", "No such article")))
    assert all(map(skipped, opening.open_question(service, opened, SAMPLE, "", "no such question")))


def test_after_a_source_that_cannot_be_had_the_one_before_can_be_opened_again(service: Service) -> None:
    opened = opening.Opened(BACKBONE, SAMPLE, "", sample()[0].id, turn=1)
    failed = opening.open_source(service, opened, SQUAD, "")[-1]
    assert hash(failed) == hash(opened)  # to Gradio it has not changed, so that nothing is asked
    assert opening.open_source(service, failed, SAMPLE, "")[-1] == replace(opened, turn=2)
    assert "alert" in opening.open_source(service, failed, SQUAD, "")[6]


def test_a_source_that_cannot_be_had_leaves_the_text_and_says_why(service: Service) -> None:
    _, _, article, number, passage, question, status, _ = opening.open_source(service, CLOSED, SQUAD, "")
    assert article["choices"] == number["choices"] == []
    assert skipped(passage)
    assert skipped(question)
    assert 'role="alert"' in status
    assert "give a SQuAD JSON file instead" in status


def test_an_article_opens_with_its_first_question_and_a_question_as_it_is(service: Service) -> None:
    last = sample()[-1]
    first_of_it = next(one for one in sample() if one.title == last.title)
    assert opening.open_article(service, CLOSED, SAMPLE, "", last.title)[5] == first_of_it.question
    assert opening.open_question(service, CLOSED, SAMPLE, "", last.id)[4:6] == [last.passage, last.question]


def test_random_opens_some_question_of_the_source(service: Service) -> None:
    inspector = Inspector(service)
    asked = (CLOSED, ANY, BACKBONE, [], SAMPLE, "", None)
    opened = {opening.open_any(inspector, *asked)[3]["value"] for _ in range(20)}
    assert len(opened) > 1
    assert opened <= {one.id for one in sample()}


def test_an_uploaded_file_joins_the_sources(service: Service, squad_file: Path) -> None:
    first = tiny.examples(1)[0]
    made = opening.open_file(service, CLOSED, str(squad_file))
    source, uploaded, article, number, passage, question, _, opened = made
    assert (source["value"], source["choices"][-1]) == (UPLOAD, (squad_file.name, UPLOAD))
    assert uploaded == str(squad_file)
    assert (article["value"], number["value"], passage, question) == (
        first.title,
        first.id,
        first.passage,
        first.question,
    )
    assert opening.open_question(service, opened, UPLOAD, uploaded, "q1")[4] == tiny.examples(2)[1].passage
    assert len(service.sources) == 2  # no other visitor sees it


def test_a_question_of_another_tab_opens_as_long_as_it_is_there(service: Service, squad_file: Path) -> None:
    there = opening.open_elsewhere(service, CLOSED, UPLOAD, str(squad_file), "q1")
    assert there[4:6] == [tiny.examples(2)[1].passage, tiny.examples(2)[1].question]
    assert all(map(skipped, opening.open_elsewhere(service, CLOSED, SAMPLE, "", "q1")))
    *rest, status, opened = opening.open_elsewhere(service, CLOSED, UPLOAD, f"{squad_file}.gone", "q1")
    assert all(map(skipped, [*rest, opened]))
    assert 'role="alert"' in status
    assert "is no longer here: upload it again" in status


def test_the_browser_fetches_a_file_only_once_it_was_written(service: Service) -> None:
    fetches = [
        one for one in shell.build_page(service).fns.values() if isinstance(one.js, str) and ".click()" in one.js
    ]
    assert len(fetches) == 5
    assert all(one.trigger_only_on_success for one in fetches)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", b"Dear diary", "a.json is not JSON"),
        ("a.json", b"[1]", "a.json"),
        ("a.json", b"\xff", "a.json is not UTF-8 text"),
        ("a.csv", b"name,age\nAda,36\n", "needs the columns"),
        ("a.jsonl", b"{}\n", "line 1: its passage"),
        ("a.jsonl", rb'{"passage": "The \ud83d Seine", "question": "Where?"}', "half a character"),
        ("a.txt", b"hello", "a.txt"),
        ("<b>.json", b"Dear diary", "&lt;b&gt;.json is not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing_and_says_why(
    service: Service, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    *others, status, opened = opening.open_file(service, CLOSED, str(path))
    assert all(skipped(one) for one in [*others, opened])
    assert 'role="alert"' in status
    assert sentence in status


def test_rows_that_were_left_out_are_told(service: Service, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("passage,question\nRome is big.,What is big?\n,Who?\n", encoding="utf-8")
    assert "1 question in 1 article; left out line 3" in opening.open_file(service, CLOSED, str(path))[6]


def skipped(update: Any) -> bool:
    """Whether an update leaves its component as it is: what `gr.skip()` gives."""
    return isinstance(update, dict) and set(update) == {"__type__"}


def test_each_backbone_says_whether_it_is_at_hand(service: Service) -> None:
    labels = {name: label for label, name in shell.backbones(service)["choices"]}
    assert labels[BACKBONE].endswith("· ready")
    assert labels["bert-tiny"].endswith("· not ready")
    assert "Not ready: the weights of bert-tiny" in shell.backbone_note(service, "bert-tiny")
    assert "Not ready" not in shell.backbone_note(service, BACKBONE)


@pytest.fixture(scope="module")
def ask(served: str) -> Compare:
    """The endpoint as a Gradio client calls it."""
    from gradio_client import Client

    client = Client(served, verbose=False)
    return lambda passage, question: client.predict(passage=passage, question=question, api_name="/compare")


def expect_spans(result: dict[str, Any], passage: str) -> None:
    assert [column["variant"] for column in result["variants"]] == list(SHIPPED)
    for column in result["variants"]:
        assert column["answer"]
        assert passage[column["start"] : column["end"]] == column["answer"]
        assert 0 < column["confidence"] <= 1
        assert column["latency_ms"] > 0
        assert column["candidates"][0]["text"] == column["answer"]
        assert column["problem"] is None


def test_the_endpoint_gives_each_variants_answer_as_a_span(ask: Compare) -> None:
    result = ask(PASSAGE, QUESTION)
    assert set(result) == {"question", "agreement", "warnings", "variants"}
    assert (result["question"], result["warnings"]) == (QUESTION, [])
    assert result["agreement"].endswith(".")
    assert [column["label"] for column in result["variants"]] == ["Base", "LoRA", "Prompt tuning"]
    assert all(len(column["candidates"]) == 5 for column in result["variants"])
    expect_spans(result, PASSAGE)


@pytest.mark.parametrize(
    ("passage", "question", "sentence"),
    [
        ("", QUESTION, "The passage is empty: write one first."),
        (" \n\t", QUESTION, "The passage is empty: write one first."),
        (PASSAGE, "", "The question is empty: write one first."),
        (PASSAGE, "\u2003", "The question is empty: write one first."),
        (PASSAGE, "why " * 1_250, "The question has 5,000 characters; at most 2,000 are read."),
        ("x" * 200_001, QUESTION, "The passage has 200,001 characters; at most 200,000 are read."),
    ],
)
def test_the_endpoint_refuses_in_a_sentence(ask: Compare, passage: str, question: str, sentence: str) -> None:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as refused:
        ask(passage, question)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("passage", "question"),
    [
        ("<script>alert(1)</script> The Seine rises in <b>Burgundy</b>.", "<i>Where</i> does it rise?"),
        ("The Seine\x00 rises\x07 in\x1b[31m Burgundy\x7f.", "Where\x00 does it rise?"),
        ("Die Donau fließt durch Wien 🏰 – und Ηνωμένο שלום 你好.", "¿Wien 🏰?"),
        (("responsibilities " * 6_000)[: 100_000 - len(PASSAGE)] + PASSAGE, QUESTION),
    ],
    ids=["markup", "control characters", "scripts", "100,000 characters"],
)
def test_the_endpoint_answers_any_text_with_spans_of_it(ask: Compare, passage: str, question: str) -> None:
    expect_spans(ask(passage, question), passage)


def test_a_question_that_is_cut_is_answered_with_a_warning(ask: Compare) -> None:
    result = ask(PASSAGE, "why " * 475)
    assert result["warnings"] == ["The question is longer than 64 tokens: only its beginning was read."]
    expect_spans(result, PASSAGE)


def over_http(served: str, *data: Any) -> tuple[str, Any]:
    """The endpoint without a client: ("complete" or "error", its data)."""
    request = Request(f"{served}gradio_api/call/compare", json.dumps({"data": data}).encode())
    request.add_header("Content-Type", "application/json")
    with urlopen(request) as reply:
        event = json.load(reply)["event_id"]
    with urlopen(f"{served}gradio_api/call/compare/{event}") as reply:
        kind, body = re.findall(r"event: (\w+)\ndata: (.*)", reply.read().decode())[-1]
    return kind, json.loads(body)


def test_half_a_surrogate_pair_is_answered(served: str) -> None:
    passage = "The Seine \ud83d rises in Burgundy."
    kind, [result] = over_http(served, passage, "Where\udfff does it rise?", None)
    assert kind == "complete"
    expect_spans(result, passage)


@pytest.mark.parametrize("value", [None, 5, ["a"], {"a": 1}])
def test_what_is_no_text_is_refused_in_a_sentence(served: str, value: Any) -> None:
    kind, error = over_http(served, value, QUESTION, None)
    assert (kind, error["error"]) == ("error", "The passage is not a text.")


def test_the_endpoint_answers_with_the_variants_asked_for_in_their_order(served: str) -> None:
    kind, [result] = over_http(served, PASSAGE, QUESTION, ["lora", "base"])
    assert (kind, [one["variant"] for one in result["variants"]]) == ("complete", ["lora", "base"])


@pytest.mark.parametrize(
    ("variants", "sentence"),
    [
        ("lora", "The variants are not a list of names."),
        ([1, 2], "The variants are not a list of names."),
        (["lora"], "Two to six variants are compared, not 1."),
        (["lora", "gone"], f"unknown variant 'gone' of {BACKBONE}: there are {', '.join(SHIPPED)}"),
    ],
)
def test_the_endpoint_refuses_variants_in_a_sentence(served: str, variants: Any, sentence: str) -> None:
    kind, error = over_http(served, PASSAGE, QUESTION, variants)
    assert kind == "error"
    assert error["error"].startswith(sentence)


def test_the_documents_example_runs(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    section = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").split("## One question")[1]
    code = section.split("```python\n")[1].split("```")[0]
    assert "http://127.0.0.1:7860" in code
    exec(code.replace("http://127.0.0.1:7860", served), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["Base", "LoRA", "Prompt"]


def test_no_choice_is_dropped_because_one_like_it_is_under_way(service: Service) -> None:
    for event in shell.build_page(service).fns.values():
        if event.fn is None or event.api_visibility == "public" or "unload" in [name for _, name in event.targets]:
            continue
        # Gradio would repeat what the first click brought, and not what the last one did
        brings_its_own = "EventData" in str(inspect.signature(event.fn))
        assert event.trigger_mode in (["multiple"] if brings_its_own else ["always_last", "multiple"]), event.fn
