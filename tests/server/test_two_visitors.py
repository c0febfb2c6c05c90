"""Two visitors of one served page: what one brings, asks and takes home is never given to the other."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from qa_compare.data.examples import to_squad
from qa_compare.files import write_json
from qa_compare.inference.engine import Engine
from qa_compare.server.serving import Settings, serve
from qa_compare.workbench.service import Service
from tests import measured, tiny
from tests.conftest import HOST, free_port
from tests.patience import until
from tests.visiting import Visitor

pytestmark = pytest.mark.slow

QUESTION = "Where rises the river?"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("two")
    measured.backbone(folder)
    for seed, name in enumerate(("base", "lora")):
        measured.variant(folder / "adapters", name, seed=seed)
    made = Engine(str(folder / "river-bert"), adapters=folder / "adapters", precision="fp32")
    assert made.located
    return made


@pytest.fixture(scope="module")
def page(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Blocks]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        service = Service({engine.backbone: engine}, engine.backbone)
        made = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
        yield made
        made.close(verbose=False)


@pytest.fixture
def ada(page: gr.Blocks) -> Iterator[Visitor]:
    with closing(Visitor(page)) as visitor:
        visitor.stay()
        yield visitor


@pytest.fixture
def bob(page: gr.Blocks) -> Iterator[Visitor]:
    with closing(Visitor(page)) as visitor:
        visitor.stay()
        yield visitor


def ask(visitor: Visitor, passage: str) -> str:
    """All that the page shows of the answer: cards, history, link."""
    asked = ("river-bert", ["base", "lora"], "sample", None, None, passage, QUESTION, None, "answer")
    return json.dumps(visitor.run("ask", *asked))


def river(name: str) -> str:
    return f"The river {name} rises in the {name} north and flows to the {name} sea."


def uploaded(visitor: Visitor, name: str, content: bytes) -> dict[str, Any]:
    return {"path": visitor.upload(name, content), "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def test_history_and_link_hold_what_their_visitor_asked_and_nothing_else(ada: Visitor, bob: Visitor) -> None:
    for number in range(2):
        mine, yours = ask(ada, river(f"Adaq{number}")), ask(bob, river(f"Bobq{number}"))
        assert "Bobq" not in mine
        assert "Adaq" not in yours
    assert "History (2)" in mine
    assert "History (2)" in yours
    assert "Adaq1" in re.search(r"data-query=.*?Copy link", mine)[0]
    [file] = ada.run("export the history", None)
    status, text = ada.fetch(file["path"])
    assert status == 200
    rows = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))
    assert [row["passage"] for row in rows] == [river("Adaq0"), river("Adaq1")]


def test_programs_whose_questions_join_in_one_pass_get_their_own_answers(
    page: gr.Blocks, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[int] = []
    works = Engine._pass

    def together(self: Engine, variant: str, windows: Any) -> Any:
        if not joined:
            until(lambda: len(self._turns._waiting) > 2, "nobody else has come")
        joined.append(len(windows))
        return works(self, variant, windows)

    alone = Engine(str(engine.located.folder), adapters=engine.adapters, precision="fp32")
    asked = [river(f"w{number * 7919 % 1000:03d}") for number in range(40)]
    expected = {passage: alone.compare(passage, QUESTION).as_dict()["variants"] for passage in asked}
    assert len({str(one[0]["confidence"]) for one in expected.values()}) == len(asked)  # no two are alike

    def program(passage: str) -> None:
        with closing(Visitor(page)) as visitor:
            body = json.dumps({"data": [passage, QUESTION, None]}).encode()
            event = json.loads(visitor.request("POST", "/gradio_api/call/compare", body)[1])["event_id"]
            text = visitor.request("GET", f"/gradio_api/call/compare/{event}")[1].decode()
        [found] = json.loads(text.split("data: ")[-1])
        for column, other in zip(found["variants"], expected[passage], strict=True):
            assert passage[column["start"] : column["end"]] == column["answer"] == other["answer"]
            assert column["confidence"] == pytest.approx(other["confidence"], rel=2e-4)  # a fifth of what parts two

    program(asked[0])  # the first question of all warms the models up, alone
    monkeypatch.setattr(Engine, "_pass", together)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(program, asked[1:]))
    assert max(joined) > 1


def test_what_is_asked_in_the_page_at_the_same_time_is_never_swapped(page: gr.Blocks) -> None:

    def visit(name: str) -> None:
        with closing(Visitor(page)) as visitor:
            for number in range(6):
                shown = ask(visitor, river(f"{name}{number}"))
                assert f"{name}{number}" in shown
                assert set(re.findall(r"Visitor[a-h]q", shown)) == {name}
                assert f"History ({number + 1})" in shown

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, [f"Visitor{letter}q" for letter in "abcdefgh"]))


def test_a_file_is_opened_by_whoever_brought_it_alone(ada: Visitor, bob: Visitor, tmp_path: Path) -> None:
    write_json(tmp_path / "mine.json", to_squad(tiny.examples(3)))
    shown = json.dumps(ada.run("bring a file", None, uploaded(ada, "mine.json", (tmp_path / "mine.json").read_bytes())))
    assert "mine.json: 3 questions" in shown
    assert "mine.json" not in ask(bob, river("Bobq"))
    again = ("choose a question", None, "upload", None, "q1")
    assert "River 1" in json.dumps(ada.run(*again))
    assert "River" not in (refused := json.dumps(bob.run(*again)))
    assert "no file was opened" in refused


def test_an_address_of_an_upload_cannot_be_guessed_and_no_list_of_them_is_served(ada: Visitor, bob: Visitor) -> None:
    path = Path(ada.upload("secret.csv", b"passage,question\nAdaq,Who?\n"))
    assert re.fullmatch(r"[0-9a-f]{64}", path.parent.name)
    assert bob.fetch(path)[0] == 200  # as good as a key, which the page tells to nobody else
    for guess in (
        path.parent,
        path.parent.parent,
        path.with_name("other.csv"),
        path.parent.parent / ("0" * 64) / path.name,
    ):
        assert bob.fetch(guess)[0] in (403, 404)
    config = bob.request("GET", "/config")[1].decode()
    assert path.parent.name not in config
    assert path.parent.name not in ask(bob, river("Bobq"))


def test_no_other_host_is_asked_for_a_file_once_a_visitors_own_button_has_changed_either(
    ada: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def fetch(url: str, **_options: Any) -> str:
        asked.append(url)
        raise OSError("nobody is asked in a test")

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    ada.run_now("begin a batch")
    event = ada.join("bring a batch", {"path": "https://example.org/x.csv", "meta": {"_type": "gradio.FileData"}})
    [told] = [one for one in ada.messages() if one["msg"] == "process_completed" and one["event_id"] == event]
    assert told["output"]["error"] == "A file is uploaded here, and not fetched from an address."
    assert asked == []


def test_a_batch_is_shown_to_whoever_ran_it(ada: Visitor, bob: Visitor) -> None:
    file = json.dumps(to_squad(tiny.examples(4))).encode()
    ada.run("bring a batch", uploaded(ada, "rivers.json", file))
    ada.run_now("begin a batch")
    ada.run("run a batch", None, "river-bert", None, ["base", "lora"])
    turned = ("turn a batch", None, None, None)
    assert "River 0" in json.dumps(ada.run(*turned))
    assert "let go" in json.dumps(bob.run(*turned))
