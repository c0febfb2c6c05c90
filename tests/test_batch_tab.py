"""The Batch tab: what its controls do, its `/predict_batch` endpoint, and the tab in a real browser."""

from __future__ import annotations

import csv
import html
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from qa_compare.batch import Batches
from qa_compare.engine import Cancelled, Engine
from qa_compare.errors import UserError
from qa_compare.examples import Example, to_squad
from qa_compare.files import write_json
from qa_compare.predictions import Prediction
from qa_compare.service import Service
from qa_compare.ui import batch_api, batch_view
from qa_compare.ui import batch_handlers as handlers
from qa_compare.ui.batch import _answering, _left, _stop
from qa_compare.ui.states import nothing
from qa_compare.ui.stopping import Tasks
from tests import measured, tiny
from tests.conftest import HOST, OpenPage, free_port

README = Path(__file__).parent.parent / "README.md"
NAME = "river-bert"
NAMES = ["base", "lora", "prompt-tuning"]
BAD = "passage,question,answers\nRome is old.,What is old?,Rome\n,Who?,\nRome is old.,What is old?,Paris\n"
EVIL = "<img src=x onerror='alert(1)'> \" rises"
QUESTION = {"passage": "The river rises in the north.", "question": "Where rises the river?"}


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    folder = tmp_path_factory.mktemp("batch")
    measured.backbone(folder)
    for seed, name in enumerate(NAMES):
        measured.variant(folder / "adapters", name, seed=seed)
    engine = Engine(str(folder / NAME), adapters=folder / "adapters", precision="fp32")
    assert engine.located
    nowhere = Engine("bert-tiny", adapters=folder / "adapters", precision="fp32")
    return Service({NAME: engine, "bert-tiny": nowhere}, NAME)


@pytest.fixture
def batches(service: Service) -> Batches:
    return Batches(service)


@pytest.fixture
def rivers(tmp_path: Path) -> str:
    write_json(tmp_path / "rivers.json", to_squad(tiny.examples(12)))
    return str(tmp_path / "rivers.json")


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def visible(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", markup)).split())


def skipped(update: Any) -> bool:
    return isinstance(update, dict) and set(update) == {"__type__"}


# The handlers


def test_a_good_file_is_taken_and_can_be_run(batches: Batches, rivers: str) -> None:
    uploaded, check, keep = handlers.open_file(rivers)
    assert uploaded == rivers
    assert visible(check) == "✓ rivers.json : 12 questions, all with gold answers."
    assert keep["visible"] is False
    button, hint = handlers.ready(batches, NAME, uploaded, NAMES, False)
    assert (button["interactive"], button["value"]) == (True, "Run 3 variants on 12 questions")
    assert visible(hint) == "36 answers in all."


def test_a_file_with_problems_lists_them_and_runs_once_they_are_left_out(batches: Batches, tmp_path: Path) -> None:
    uploaded, check, keep = handlers.open_file(written(tmp_path, "towns.csv", BAD))
    assert re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', check) == [
        ("line 3", "its passage (context) is empty"),
        ("line 4", "the answer &quot;Paris&quot; does not stand in its passage"),
    ]
    assert "1 question, all with gold answers" in visible(check)
    assert keep["visible"] is True
    button, hint = handlers.ready(batches, NAME, uploaded, NAMES, False)
    assert button["interactive"] is False
    assert "leave the rows with problems out" in hint
    button, _ = handlers.ready(batches, NAME, uploaded, NAMES, True)
    assert (button["interactive"], button["value"]) == (True, "Run 3 variants on 1 question")


def test_of_very_many_problems_the_first_are_listed_and_all_can_be_saved(tmp_path: Path) -> None:
    path = written(tmp_path, "noise.jsonl", "x\n" * (batch_view.LISTED + 1))
    _, check, keep = handlers.open_file(path)
    assert check.count('<th scope="row">') == batch_view.LISTED
    assert "The first 500 are listed" in check
    assert "501 rows of it cannot be used" in check
    assert keep["visible"] is False  # there is nothing to keep


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.json", "Dear diary", "a.json is not JSON"),
        ("<b>.json", "Dear diary", "&lt;b&gt;.json is not JSON"),
        ("a.csv", "name,age\nAda,36\n", "needs the columns"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_is_not_run(
    batches: Batches, tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    uploaded, check, _ = handlers.open_file(written(tmp_path, name, text))
    assert uploaded == ""
    assert sentence in check
    assert 'role="alert"' in check
    assert handlers.ready(batches, NAME, uploaded, NAMES, False)[0]["interactive"] is False


@pytest.mark.parametrize(
    ("backbone", "names", "sentence"),
    [
        (NAME, [], "Choose a variant."),
        (NAME, [*NAMES, *"abcd"], "At most 6 variants are run at once."),
        ("bert-tiny", NAMES, "Not ready: the weights of bert-tiny"),
    ],
)
def test_what_is_missing_for_a_run_is_said(
    batches: Batches, rivers: str, backbone: str, names: list[str], sentence: str
) -> None:
    button, hint = handlers.ready(batches, backbone, rivers, names, False)
    assert button["interactive"] is False
    assert sentence in visible(hint)


def test_an_upload_that_was_deleted_since_is_said_to_be_gone(batches: Batches, tmp_path: Path) -> None:
    button, hint = handlers.ready(batches, NAME, str(tmp_path / "yesterday.csv"), NAMES, False)
    assert button["interactive"] is False
    assert "there is no such file" in visible(hint)


def test_a_run_tells_how_far_it_is_and_shows_scores_answers_and_one_question(batches: Batches, rivers: str) -> None:
    *going, last = handlers.run(batches, NAME, rivers, NAMES, never)
    assert "Loading the models" in going[0][0]
    assert visible(going[-1][0]) == "Scoring the answers…"
    assert visible(going[-2][0]) == "Base, LoRA, Prompt tuning: 36 of 36 answers, about 0 s left"
    assert all(skipped(one) for update in going for one in update[1:])
    state, ran, *controls = last
    assert visible(state).startswith("Done in ")
    assert [one.get("interactive") for one in controls] == [True, False, True, True, True]
    scores, answers, question = handlers.show(batches, ran, 0, "q1")
    assert scores.count('class="variant"') == 3
    assert re.findall(r'data-pick="save:(.*?)"', scores) == ["csv", "parquet", *(f"json:{name}" for name in NAMES)]
    assert "1–10 of 12" in answers
    assert question.count('class="predicted') == 3
    answers, question = handlers.turn(batches, ran, *handlers.picked("page:1", 0, "q1"))
    assert "11–12 of 12" in answers
    assert question == ""
    assert handlers.picked("row:a:b", 1, "") == (1, "a:b")


def test_a_cancelled_run_says_so_and_shows_what_there_is(
    batches: Batches, rivers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa_compare.answering.LEAST_STEP", 4)
    calls = iter([False] * 9)  # each step asks twice, and is one batch
    *_, last = handlers.run(batches, NAME, rivers, NAMES, lambda: next(calls, True))
    assert visible(last[0]).startswith("Cancelled. What was answered is kept")
    scores, *_ = handlers.show(batches, last[1], 0, "")
    assert "Partial: the first 4 of 12 questions." in visible(scores)
    *_, last = handlers.run(batches, NAME, rivers, NAMES, lambda: True)
    assert handlers.show(Batches(batches.service), last[1], 0, "")[0] == nothing("No question was answered")


def test_a_failed_run_says_so_frees_the_controls_and_keeps_what_there_is(
    batches: Batches, rivers: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("qa_compare.answering.LEAST_STEP", 4)
    works, calls = Engine.predict, iter(range(9))

    def breaks(*given: Any, **options: Any) -> list[Prediction]:
        if next(calls) == 4:
            raise RuntimeError("a broken <model>")
        return works(*given, **options)

    monkeypatch.setattr(Engine, "predict", breaks)
    *_, (state, ran, *controls) = handlers.run(batches, NAME, rivers, NAMES, never)
    assert visible(state).startswith("It failed (RuntimeError). What was answered is kept")
    assert controls[0]["interactive"] is True
    assert "a broken <model>" in caplog.text
    assert "Partial: the first 4 of 12 questions." in visible(handlers.show(batches, ran, 0, "")[0])


def test_a_run_that_cannot_begin_says_why(batches: Batches, rivers: str) -> None:
    *_, last = handlers.run(batches, "bert-tiny", rivers, NAMES, never)
    assert "the weights of bert-tiny" in visible(last[0])


def test_markup_in_every_place_is_shown_as_text(batches: Batches, tmp_path: Path) -> None:
    one = Example(EVIL, EVIL, EVIL, EVIL)
    path = tmp_path / "<b>.json"
    write_json(path, {"data": [*to_squad([one])["data"], {"paragraphs": [{"context": EVIL, "qas": [{"id": EVIL}]}]}]})
    check = handlers.open_file(str(path))[1]
    *_, (state, ran, *_controls) = handlers.run(batches, NAME, str(path), NAMES, never)
    markup = "".join([check, state, *handlers.show(batches, ran, 0, EVIL)])
    assert "<img" not in markup
    assert "<b>." not in markup
    assert markup.count("&lt;img") > 5


@pytest.mark.parametrize("pick", ["save:csv", "save:parquet", "save:json:lora"])
def test_answers_are_saved_under_the_files_name(
    batches: Batches, rivers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pick: str
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "out"))
    *_, (_, ran, *_controls) = handlers.run(batches, NAME, rivers, NAMES, never)
    path = Path(handlers.save(batches, pick, ran))
    kind = pick.split(":")[1]
    assert path.name == ("rivers-lora.json" if kind == "json" else f"rivers-answers.{kind}")
    assert path.is_relative_to(tmp_path / "out")
    if kind == "csv":
        rows = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
        assert [row["id"] for row in rows] == [f"q{number}" for number in range(12)]
    with pytest.raises(gr.Error, match="let go to make room"):
        handlers.save(Batches(batches.service), pick, ran)
    assert "let go to make room" in handlers.turn(Batches(batches.service), ran, 0, "")[0]


# Who stops what


def visitor(name: str = "one") -> gr.Request:
    return gr.Request(session_hash=name)


def drive(batches: Batches, tasks: Tasks, ticket: int, path: str, request: gr.Request) -> Iterator[tuple[Any, ...]]:
    return _answering(batches, tasks)(ticket, NAME, path, NAMES, request)


def test_cancel_stops_the_run_under_way_with_a_word(batches: Batches, rivers: str) -> None:
    tasks = Tasks()
    going = drive(batches, tasks, tasks.begin(visitor()), rivers, visitor())
    next(going)
    state, _, cancel, *_ = _stop(tasks)(visitor())
    assert skipped(state)
    assert (cancel["value"], cancel["interactive"]) == ("Stopping…", False)
    *_, last = going
    assert "Cancelled" in last[0]


def test_cancel_before_its_turn_frees_the_controls_and_nothing_is_run(batches: Batches, rivers: str) -> None:
    tasks = Tasks()
    ticket = tasks.begin(visitor())
    state, run, *_ = _stop(tasks)(visitor())
    assert "Cancelled" in state
    assert run["interactive"] is True
    assert all(skipped(one) for update in drive(batches, tasks, ticket, rivers, visitor()) for one in update)
    assert batches.result(NAME, rivers, NAMES) is None


def test_a_run_that_was_overtaken_by_another_of_its_visitor_says_nothing(batches: Batches, rivers: str) -> None:
    tasks = Tasks()
    first, second = tasks.begin(visitor()), tasks.begin(visitor())
    assert all(skipped(one) for update in drive(batches, tasks, first, rivers, visitor()) for one in update)
    *_, last = drive(batches, tasks, second, rivers, visitor())
    assert "Done" in last[0]


@pytest.mark.parametrize("gone", [_left, lambda tasks: tasks.left], ids=["another backbone", "a closed page"])
def test_a_visitor_who_turns_away_or_closes_the_page_stops_the_run_without_a_word(
    batches: Batches, rivers: str, gone: Callable[[Tasks], Callable[[gr.Request], Any]]
) -> None:
    tasks = Tasks()
    mine = drive(batches, tasks, tasks.begin(visitor()), rivers, visitor())
    next(mine)
    gone(tasks)(visitor("another"))
    gone(tasks)(visitor())
    assert all(skipped(one) for update in mine for one in update)
    assert batches.result(NAME, rivers, NAMES) is None
    assert tasks._known == {}


def test_nothing_is_kept_of_a_visitor_who_leaves_before_the_turn_comes(batches: Batches, rivers: str) -> None:
    tasks = Tasks()
    ticket = tasks.begin(visitor())
    tasks.left(visitor())
    assert tasks._known == {}
    assert all(skipped(one) for update in drive(batches, tasks, ticket, rivers, visitor()) for one in update)


# The endpoint


@pytest.fixture
def predict_batch(service: Service) -> Callable[..., dict[str, Any]]:
    with gr.Blocks() as page:
        made = batch_api.endpoint(page, service)
    return lambda *given, **named: made(visitor(), *given, **named)


def test_the_endpoint_answers_and_scores_a_list(predict_batch: Callable[..., dict[str, Any]]) -> None:
    found = predict_batch([{**QUESTION, "id": "a", "answers": ["the north"]}, QUESTION])
    assert (found["backbone"], found["questions"], found["gold"]) == (NAME, 2, 1)
    assert [one["variant"] for one in found["scores"]] == NAMES
    assert set(found["scores"][0]["f1"]) == {"value", "low", "high"}
    first, second = found["predictions"]
    assert (first["id"], first["gold"], second["gold"]) == ("a", ["the north"], [])
    for answer in first["variants"].values():
        assert QUESTION["passage"][answer["start"] : answer["end"]] == answer["answer"]
    assert second["variants"]["base"]["f1"] is None
    assert found["problems"] == []
    json.dumps(found, allow_nan=False)


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
        ({"questions": [{**QUESTION, "answers": [["x"]]}]}, r"questions\[0\]: an answer is missing"),
        ({"questions": [{**QUESTION, "answers": ["south"]}, 5]}, r"does not stand in its passage \(and 1 more\)"),
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


@contextmanager
def serving(service: Service, uploads: Path) -> Iterator[str]:
    """The page's address, while the block runs; what is uploaded lies in that folder."""
    from qa_compare.ui.page import build_page, launch_options

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        page = build_page(service)
        options: dict[str, Any] = launch_options()
        page.launch(server_name=HOST, server_port=free_port(), prevent_thread_lock=True, quiet=True, **options)
        yield page.local_url
        page.close(verbose=False)


@pytest.fixture(scope="module")
def served(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(service, tmp_path_factory.mktemp("gradio")) as address:
        yield address


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


def test_the_readmes_example_runs(served: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        README.read_text(encoding="utf-8").split("`/predict_batch` answers")[1].split("```python\n")[1].split("```")[0]
    )
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


# In the browser


@pytest.fixture
def patience() -> Iterator[None]:
    expect.set_options(timeout=60_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Engines that answer four questions at a time, the first step at once, the rest only when they are cancelled.

    What became of each step: "answered" or "cancelled".
    """
    found: list[str] = []
    works = Engine.predict

    def predict(self: Engine, examples: Sequence[Example], variant: str, **options: Any) -> list[Prediction]:
        if len(found) < len(NAMES):
            made = works(self, examples, variant, **options)
            found.append("answered")
            return made
        for _ in range(600):
            if options["cancelled"]():
                found.append("cancelled")
                raise Cancelled
            time.sleep(0.1)
        raise UserError("nobody cancelled")

    monkeypatch.setattr("qa_compare.answering.LEAST_STEP", 4)
    monkeypatch.setattr(Engine, "predict", predict)
    return found


def open_tab(page: Page) -> None:
    expect(page.locator(".card mark.predicted").first).to_be_visible()  # Gradio is listening
    tab = page.get_by_role("tab", name="Batch", exact=True)
    if not tab.is_visible():
        page.locator(".overflow-menu > button").click()
        tab = page.locator(".overflow-dropdown button", has_text="Batch")
    tab.click()
    expect(page.locator("#batch-check")).to_contain_text("No file yet")


def bring(page: Page, path: str) -> None:
    page.locator("#batch-choose input[type=file]").set_input_files(path)
    expect(page.locator("#batch-check")).to_contain_text(Path(path).name)


def button(page: Page, name: str) -> Any:
    return page.locator("#batch-buttons").get_by_role("button", name=re.compile(name))


@pytest.mark.browser
@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_a_file_is_brought_checked_run_and_taken_home(
    open_page: OpenPage, tmp_path: Path, width: int, theme: str
) -> None:
    page = open_page(width, theme)
    open_tab(page)
    if width == 1440:  # with less room, some are in a menu
        expect(page.get_by_role("tab")).to_have_text(
            ["Compare", "Metrics", "Training curves", "Error inspection", "Batch"]
        )
    expect(button(page, "Run")).to_be_disabled()
    bring(page, written(tmp_path, f"towns-{width}-{theme}.csv", BAD))
    expect(page.locator(".problems tbody tr")).to_have_count(2)
    expect(button(page, "Run")).to_be_disabled()
    page.get_by_role("checkbox", name="Leave these rows out").check()
    expect(button(page, "Run 3 variants on 1 question")).to_be_enabled()
    before = page.locator("#batch-scores").bounding_box()
    button(page, "Run").press("Enter")  # the keyboard is enough
    expect(page.locator("#batch-scores tbody tr")).to_have_count(3)
    after = page.locator("#batch-scores").bounding_box()
    assert before
    assert after
    assert before["y"] == after["y"]  # nothing above it has moved
    expect(page.locator("#batch-state")).to_contain_text("Done in")
    page.locator("#batch-answers tbody button").first.press("Enter")
    expect(page.locator("#batch-question .card.found")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    with page.expect_download() as download:
        page.get_by_role("button", name="LoRA as SQuAD JSON").press("Enter")
    assert download.value.suggested_filename == f"towns-{width}-{theme}-lora.json"
    assert set(json.loads(download.value.path().read_text(encoding="utf-8"))) == {"row-1"}
    with page.expect_download() as download:
        page.get_by_role("link", name="Template (CSV)").click()
    assert download.value.path().read_text(encoding="utf-8").startswith("id,title,passage,question,answers")


@pytest.mark.browser
@pytest.mark.usefixtures("patience")
def test_cancel_stops_the_engine_and_shows_what_was_answered(
    open_page: OpenPage, tmp_path: Path, slow: list[str]
) -> None:
    write_json(tmp_path / "cancelled.json", to_squad(tiny.examples(12)))
    page = open_page()
    open_tab(page)
    bring(page, str(tmp_path / "cancelled.json"))
    button(page, "Run").click()
    expect(page.locator("#batch-state")).to_contain_text("12 of 36 answers, about")
    expect(button(page, "Run")).to_be_disabled()
    button(page, "Cancel").click()
    expect(page.locator("#batch-state")).to_contain_text("Cancelled. What was answered is kept")
    expect(page.locator("#batch-scores")).to_contain_text("Partial: the first 4 of 12 questions.")
    expect(button(page, "Run")).to_be_enabled()
    assert slow == ["answered"] * 3 + ["cancelled"]


@pytest.mark.browser
@pytest.mark.usefixtures("patience")
def test_a_closed_page_stops_the_engine(open_page: OpenPage, tmp_path: Path, slow: list[str]) -> None:
    write_json(tmp_path / "closed.json", to_squad(tiny.examples(12)))
    page = open_page()
    open_tab(page)
    bring(page, str(tmp_path / "closed.json"))
    button(page, "Run").click()
    expect(page.locator("#batch-state")).to_contain_text("12 of 36 answers, about")
    page.close()
    until = time.monotonic() + 30
    while slow[-1] != "cancelled" and time.monotonic() < until:
        time.sleep(0.1)
    assert slow == ["answered"] * 3 + ["cancelled"]
