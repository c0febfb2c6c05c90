"""Whoever leaves, or cancels, frees the models within five seconds: over real HTTP, the engine slowed down."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client

from qa_compare.data.examples import to_squad
from qa_compare.inference.engine import Engine
from qa_compare.server.serving import Settings, serve
from qa_compare.workbench.service import Service
from tests import measured, tiny
from tests.conftest import HOST, free_port
from tests.patience import LONG, until
from tests.visiting import Visitor

pytestmark = pytest.mark.slow

# the passes of 0.6 seconds that five seconds have room for, that under way, and two for who comes next: a busy
# processor makes fewer of them in that time, where it would take more seconds
SOON = 11
WHOLE = 40  # passes at least of what is asked for here, were nobody to leave
QUESTIONS = [{"passage": one.passage, "question": one.question} for one in tiny.examples(1_000)]
LONG_PASSAGE = " ".join(["The river rises in the north and flows to the sea."] * 3_900)  # 195,000 characters


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Blocks]:
    folder = tmp_path_factory.mktemp("vanished")
    measured.backbone(folder)
    for seed, name in enumerate(("base", "lora")):
        measured.variant(folder / "adapters", name, seed=seed)
    engine = Engine(str(folder / "river-bert"), adapters=folder / "adapters", precision="fp32")
    assert engine.located
    service = Service({engine.backbone: engine}, engine.backbone)
    service.warm_up(engine.backbone, ["base", "lora"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        made = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
        yield made
        made.close(verbose=False)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The windows of each forward pass that was begun: a large batch takes a minute, or five."""
    found: list[int] = []
    works = Engine._pass

    def slow(self: Engine, variant: str, windows: Any) -> Any:
        found.append(len(windows))
        time.sleep(0.6)
        return works(self, variant, windows)

    monkeypatch.setattr(Engine, "_pass", slow)
    return found


def _run(visitor: Visitor) -> Callable[[], str]:
    """Bring a file to the Batch tab and run it, as the page does; what then waits for all that is said of it."""
    visitor.stay()
    file = json.dumps(to_squad(tiny.examples(1_000))).encode()
    path = visitor.upload("rivers.json", file)
    given = {"path": path, "orig_name": "rivers.json", "meta": {"_type": "gradio.FileData"}}
    visitor.run("bring a batch", given)
    visitor.run_now("begin a batch")
    visitor.join("run a batch", None, "river-bert", None, ["base", "lora"])
    stream = visitor.follow(f"/gradio_api/queue/data?session_hash={visitor.session}")
    return lambda: stream.read().decode()


def wait_for(passes: list[int], number: int) -> None:
    until(lambda: len(passes) >= number)


def expect_rest(page: gr.Blocks, passes: list[int], before: int) -> None:
    """The models are free soon after the moment when there had been so many passes."""
    until(lambda: len(page._queue) == 0 and not any(page._queue.active_jobs), "the work goes on")
    seen = -1
    while seen != len(passes):  # a pass takes 0.6 seconds
        seen = len(passes)
        time.sleep(2)
    assert seen - before <= SOON
    assert seen < WHOLE, "it had come to its end anyway"


def call(page: gr.Blocks, api_name: str, *data: Any) -> Callable[[Visitor], None]:
    """Ask a public endpoint over plain HTTP and follow it."""

    def begin(visitor: Visitor) -> None:
        body = json.dumps({"data": data}).encode()
        event = json.loads(visitor.request("POST", f"/gradio_api/call/{api_name}", body)[1])["event_id"]
        visitor.follow(f"/gradio_api/call/{api_name}/{event}")

    return begin


@pytest.mark.parametrize(
    ("api_name", "data"),
    [("predict_batch", (QUESTIONS, None, "", None)), ("compare", (LONG_PASSAGE, "Where flows the river to?", None))],
    ids=["batch", "long passage"],
)
def test_a_connection_that_is_cut_ends_the_work_and_the_next_one_is_served(
    page: gr.Blocks, passes: list[int], api_name: str, data: tuple[Any, ...]
) -> None:
    with closing(Visitor(page)) as gone:
        call(page, api_name, *data)(gone)
        wait_for(passes, 2)
    before = len(passes)
    with closing(Visitor(page)) as next_one:
        event = json.loads(
            next_one.request("POST", f"/gradio_api/call/{api_name}", json.dumps({"data": _few(api_name)}).encode())[1]
        )["event_id"]
        _, text = next_one.request("GET", f"/gradio_api/call/{api_name}/{event}")
    assert b"event: complete" in text
    expect_rest(page, passes, before)


def _few(api_name: str) -> list[Any]:
    if api_name == "predict_batch":
        return [QUESTIONS[:1], None, "", None]
    return ["The river rises in the north.", "Where rises it?", None]


def test_a_tab_that_is_closed_in_the_middle_of_a_batch_ends_it(page: gr.Blocks, passes: list[int]) -> None:
    with closing(Visitor(page)) as gone:
        _run(gone)
        wait_for(passes, 2)
    expect_rest(page, passes, len(passes))


def test_a_tab_that_is_closed_while_its_batch_waits_takes_it_out_of_the_queue(
    page: gr.Blocks, passes: list[int]
) -> None:
    with closing(Visitor(page)) as first:
        _run(first)
        wait_for(passes, 1)
        with closing(Visitor(page)) as second:
            _run(second)
            until(lambda: len(page._queue) == 1)
        until(lambda: len(page._queue) == 0)
    expect_rest(page, passes, len(passes))


def test_cancel_in_the_page_stops_the_engine_and_says_so(page: gr.Blocks, passes: list[int]) -> None:
    with closing(Visitor(page)) as visitor, ThreadPoolExecutor(1) as pool:
        told = pool.submit(_run(visitor))
        wait_for(passes, 2)
        visitor.run_now("cancel a batch")
        before = len(passes)
        assert "Cancelled. What was answered is kept" in told.result(LONG)
        expect_rest(page, passes, before)
        controls = visitor.run_now("free a batch's controls")
        assert {"interactive": True, "__type__": "update"}.items() <= controls[0].items()


def test_a_short_request_does_not_wait_for_the_end_of_a_long_run(page: gr.Blocks, passes: list[int]) -> None:
    with closing(Visitor(page)) as patient, closing(Visitor(page)) as hasty:
        _run(patient)
        wait_for(passes, 1)
        few = json.dumps({"data": _few("predict_batch")}).encode()
        event = json.loads(hasty.request("POST", "/gradio_api/call/predict_batch", few)[1])["event_id"]
        assert b"event: complete" in hasty.request("GET", f"/gradio_api/call/predict_batch/{event}")[1]
        wait_for(passes, len(passes) + 1)  # it still goes on
    expect_rest(page, passes, len(passes))


def test_a_program_that_cancels_its_job_stops_the_engine(page: gr.Blocks, passes: list[int]) -> None:
    with closing(Client(page.local_url, verbose=False, analytics_enabled=False)) as client:
        job = client.submit(questions=QUESTIONS, api_name="/predict_batch")
        wait_for(passes, 2)
        job.cancel()
        expect_rest(page, passes, len(passes))
