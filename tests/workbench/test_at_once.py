"""Several visitors at once: what they share holds, none waits for another's backbone, nothing is done twice."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from qa_compare.data.examples import Example, to_squad
from qa_compare.files import write_json
from qa_compare.inference.decoding import Prediction
from qa_compare.inference.engine import AnswerCache, Engine
from qa_compare.models.registry import Loaded
from qa_compare.page import stopping
from qa_compare.page.stopping import Tasks
from qa_compare.server import requests
from qa_compare.server.requests import Rate
from qa_compare.server.serving import Settings, serve
from qa_compare.workbench import batch
from qa_compare.workbench.answers import Inspector, Wanted
from qa_compare.workbench.batch import Answers, Batches
from qa_compare.workbench.service import UPLOAD, Service
from tests import measured, tiny
from tests.conftest import HOST, free_port
from tests.measured import never
from tests.visiting import Visitor

pytestmark = pytest.mark.slow

PASSAGE, QUESTION = "The river rises in the north and flows to the sea.", "Where flows the river to?"
LONG = 60.0  # seconds that nothing here takes


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """Two backbones that are at hand, each with a base and LoRA."""
    engines = {}
    for name in ("river-bert", "lake-bert"):
        engines[name] = Engine(str(tiny.checkpoint(tmp_path / name)), adapters=tmp_path / "adapters", precision="fp32")
        assert engines[name].located
    for seed, name in enumerate(("base", "lora")):
        measured.variant(tmp_path / "adapters", name, seed=seed)
    return Service(engines, "river-bert")


def in_threads(work: Callable[[int], Any], count: int) -> list[Any]:
    """What each of the threads gives, all of which begin at the same moment."""
    ready = threading.Barrier(count)

    def begin(number: int) -> Any:
        ready.wait(LONG)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


@pytest.fixture
def loading(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """(begun, let go): lake-bert's models are loaded as long as the test wants."""
    begun, let_go = threading.Event(), threading.Event()
    works = Engine.compare

    def compare(self: Engine, *given: Any, **options: Any) -> Any:
        if self is service.engines["lake-bert"]:
            begun.set()
            assert let_go.wait(LONG)
        return works(self, *given, **options)

    monkeypatch.setattr(Engine, "compare", compare)
    yield begun, let_go
    let_go.set()


def test_a_backbone_that_is_loaded_holds_up_no_other(
    service: Service, loading: tuple[threading.Event, threading.Event]
) -> None:
    begun, let_go = loading
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(service.compare, PASSAGE, QUESTION, "lake-bert", ["base"])
        assert begun.wait(LONG)
        quick = pool.submit(service.compare, PASSAGE, QUESTION, "river-bert", ["base", "lora"])
        try:
            assert len(quick.result(LONG).answers) == 2
            assert not slow.done()
        finally:
            let_go.set()


def test_in_the_page_a_visitor_whose_backbone_is_loaded_holds_up_no_other(
    service: Service, loading: tuple[threading.Event, threading.Event], tmp_path: Path
) -> None:
    begun, let_go = loading
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
        page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
        try:
            with closing(Visitor(page)) as ada, closing(Visitor(page)) as bob:
                ada.join("choose a backbone", None, "lake-bert", ["base", "lora"])
                assert begun.wait(LONG)
                asked = ("river-bert", ["base", "lora"], "sample", None, None, PASSAGE, QUESTION, None, "answer")
                assert "flows to the sea" in str(bob.run("ask", *asked))
                assert not let_go.is_set()
        finally:
            let_go.set()
            page.close(verbose=False)


class Telling:
    """A lock that tells when somebody has to wait for it."""

    def __init__(self, told: threading.Event) -> None:
        self._told, self._lock = told, threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._told.set()
            self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


def test_two_who_run_one_file_at_once_share_the_work_and_get_all_answers_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = tiny.examples(50)
    answers = Answers(service.engines["river-bert"], examples)
    second_is_there = threading.Event()
    monkeypatch.setattr(answers, "_step", Telling(second_is_there), raising=False)
    asked: Counter[str] = Counter()
    works = Engine.predict

    def predict(self: Engine, some: Sequence[Example], variant: str | Loaded, **options: Any) -> list[Prediction]:
        if threading.current_thread().name == "second":
            second_is_there.set()
        elif not asked:
            second.start()
            assert second_is_there.wait(LONG)  # it waits for its turn, or, without turns, asks for the same
        found = works(self, some, variant, **options)
        asked.update(one.id for one in some)
        return found

    monkeypatch.setattr(Engine, "predict", predict)
    progress: list[Any] = []
    second = threading.Thread(target=lambda: progress.extend(answers.find(["base"], never)), name="second")
    list(answers.find(["base"], never))
    second.join(LONG)
    assert set(asked.values()) == {1}
    assert len(asked) == 50
    assert progress[-1].done == 50
    result = answers.result(["base"])
    assert result
    assert result.done == 50


def test_whoever_waited_while_another_found_the_last_answers_is_told_of_all_of_them(service: Service) -> None:
    answers = Answers(service.engines["river-bert"], tiny.examples(50))
    waiting = answers.find(["base"], never)
    assert next(waiting).done == 0
    assert [*answers.find(["base"], never)][-1].done == 50
    assert [one.done for one in waiting] == [50]
    assert [one.done for one in answers.find(["base"], never)] == [50]


def test_two_who_run_a_file_for_the_first_time_at_once_have_one_set_of_answers(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "rivers.json", to_squad(tiny.examples(8)))
    batches, made = Batches(service), list[Answers]()
    works = batch.Answers.__init__

    def begin(self: Answers, *given: Any) -> None:
        made.append(self)
        works(self, *given)

    monkeypatch.setattr(batch.Answers, "__init__", begin)

    def run(_number: int) -> Any:
        return list(batches.find("river-bert", str(tmp_path / "rivers.json"), ["base"], never))[-1].done

    assert in_threads(run, 4) == [8] * 4
    assert len(made) == 1


def test_the_file_that_was_used_last_is_kept_and_not_the_one_that_was_run_last(
    service: Service, tmp_path: Path
) -> None:
    paths = []
    for number in range(8):
        paths.append(str(tmp_path / f"rivers{number}.json"))
        write_json(Path(paths[-1]), to_squad(tiny.examples(number + 1)))
    batches = Batches(service)
    for path in paths[:6]:
        list(batches.find("river-bert", path, ["base"], never))
    assert batches.result("river-bert", paths[0], ["base"])  # somebody turns its pages
    for path in paths[6:]:
        list(batches.find("river-bert", path, ["base"], never))
    kept = [batches.result("river-bert", path, ["base"]) is not None for path in paths]
    assert kept == [True, False, False, *[True] * 5]


def test_the_table_that_was_looked_at_last_is_kept(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspector = Inspector(service)
    monkeypatch.setattr(inspector._columns, "size", 4)
    looks = []
    for number in range(5):
        write_json(tmp_path / f"{number}.json", to_squad(tiny.examples(number + 1)))
        looks.append(Wanted("river-bert", UPLOAD, str(tmp_path / f"{number}.json"), ("base",)))
    for wanted in looks[:4]:
        list(inspector.compute(wanted, never))
    assert inspector.view(looks[0]).table
    list(inspector.compute(looks[4], never))
    assert [inspector.view(wanted).table is not None for wanted in looks] == [True, False, True, True, True]


def test_of_many_who_want_one_value_one_makes_it_and_whoever_wants_another_does_not_wait() -> None:
    cache: AnswerCache[str] = AnswerCache(4)
    begun, let_go = threading.Event(), threading.Event()
    made: list[str] = []

    def slow() -> str:
        made.append("slow")
        begun.set()
        assert let_go.wait(LONG)
        return "value"

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(cache.made, ("slow",), slow) for _ in range(4)]
        assert begun.wait(LONG)
        assert cache.made(("other",), lambda: "at once") == "at once"
        let_go.set()
        assert [one.result(LONG) for one in waiting] == ["value"] * 4
    assert made == ["slow"]


def test_a_value_that_could_not_be_made_is_made_by_the_next_who_asks() -> None:
    cache: AnswerCache[str] = AnswerCache(4)
    with pytest.raises(ZeroDivisionError):
        cache.made(("a",), lambda: str(1 // 0))
    assert cache.made(("a",), lambda: "made") == "made"


def test_the_rate_holds_for_two_who_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    second_is_there = threading.Event()

    class Counting(deque[float]):
        def append(self, value: float) -> None:
            if threading.current_thread().name == "second":
                second_is_there.set()
            else:
                second.start()
                assert second_is_there.wait(LONG)  # it waits for its turn, or, without turns, is as far
            super().append(value)

    monkeypatch.setattr(requests, "deque", Counting)
    rate = Rate(1, lambda: 0.0)
    monkeypatch.setattr(rate, "_lock", Telling(second_is_there), raising=False)
    waits: list[float] = []
    second = threading.Thread(target=lambda: waits.append(rate.wait("one")), name="second")
    waits.append(rate.wait("one"))
    second.join(LONG)
    assert sorted(waits) == [0.0, 60.0]


def test_the_rate_keeps_nothing_of_those_who_asked_a_minute_ago_and_is_bounded_within_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(requests, "_MOST_SESSIONS", 100)
    now = [0.0]
    rate = Rate(2, lambda: now[0])
    for number in range(500):  # a browser names its session itself
        rate.wait(str(number))
    assert len(rate._asked) <= 100
    assert (rate.wait("499"), rate.wait("499") > 0) == (0.0, True)
    now[0] = 61.0
    rate.wait("later")
    assert list(rate._asked) == ["later"]


def test_work_that_two_visitors_begin_at_once_is_done_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, both, make = Tasks(), threading.Barrier(2), stopping.Task

    def begun(*given: Any, **options: Any) -> Any:
        if not given and not options and threading.current_thread().name.startswith("visitor"):
            with suppress(threading.BrokenBarrierError):
                both.wait(LONG)
                both.abort()  # once is enough
        return make(*given, **options)

    monkeypatch.setattr(stopping, "Task", begun)

    def begin(name: str) -> bool:
        request = gr.Request(session_hash=name)
        ticket = tasks.begin(request)
        return tasks.start(request, ticket).stopped

    with ThreadPoolExecutor(2, thread_name_prefix="visitor") as pool:
        assert list(pool.map(begin, ["ada", "bob"])) == [False, False]


def test_the_first_visitor_is_kept_little_of_and_keeps_his_session(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch, came = gr.Blocks.launch, list[Visitor]()

    def launched(self: gr.Blocks, *given: Any, **options: Any) -> Any:
        made = launch(self, *given, **options)
        came.append(Visitor(self))  # it listens: somebody comes before anything else is done
        asked = ("river-bert", ["base", "lora"], "sample", None, None, PASSAGE, QUESTION, None, "answer")
        assert "History (1)" in str(came[0].run("ask", *asked))
        return made

    monkeypatch.setattr(gr.Blocks, "launch", launched)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
    try:
        [first] = came
        asked = ("river-bert", ["base", "lora"], "sample", None, None, PASSAGE, "Where rises it?", None, "answer")
        assert "History (2)" in str(first.run("ask", *asked))
        assert page.app.state_holder[first.session].config_values == {}
    finally:
        page.close(verbose=False)
