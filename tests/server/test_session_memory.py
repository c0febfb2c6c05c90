"""What is kept of visitors in memory: their session, small, and of no more sessions than there is room for."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from qa_compare.errors import UserError
from qa_compare.inference.engine import Engine
from qa_compare.server import gradio_internals
from qa_compare.server.serving import Settings, serve
from qa_compare.workbench.service import Service
from tests import measured
from tests.conftest import HOST, free_port
from tests.visiting import Visitor

pytestmark = pytest.mark.slow

SECRET = "The river Zq17 rises in the north."


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("memory")
    measured.backbone(folder)
    for seed, name in enumerate(("base", "lora")):
        measured.variant(folder / "adapters", name, seed=seed)
    engine = Engine(str(folder / "river-bert"), adapters=folder / "adapters", precision="fp32")
    assert engine.located
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        patch.setattr(gradio_internals, "MOST_SESSIONS", 5)
        made = serve(
            Service({engine.backbone: engine}, engine.backbone),
            host=HOST, port=free_port(), chosen=Settings(), wait=False,
        )  # fmt: skip
        yield made
        made.close(verbose=False)


def ask(visitor: Visitor, passage: str = SECRET) -> list[object]:
    asked = ("river-bert", ["base", "lora"], "sample", None, None, passage, "Where rises it?", None, "answer")
    return visitor.run("ask", *asked)


def test_a_session_keeps_its_history_and_no_copy_of_the_page(page) -> None:
    visitor = Visitor(page)
    ask(visitor)
    assert "History (2)" in str(ask(visitor, "Another river."))
    kept = page.app.state_holder[visitor.session]
    assert kept.config_values == {}
    assert page.state_holder is page.app.state_holder


def test_no_link_of_gradios_own_writes_a_session_to_the_disk(page) -> None:
    visitor = Visitor(page)
    ask(visitor)
    assert visitor.request("GET", f"/gradio_api/deep_link?session_hash={visitor.session}")[0] == 403
    assert not (Path(page.app.uploaded_file_dir) / "deep_links").exists()


def test_of_too_many_sessions_the_one_longest_unused_is_let_go(page) -> None:
    first, *others = [Visitor(page) for _ in range(8)]
    for visitor in (first, *others):
        ask(visitor)
    assert len(page.app.state_holder.session_data) == 5
    assert "History (1)" in str(ask(first))  # begins anew
    for _ in range(20):
        first.request("POST", "/gradio_api/call/compare", b'{"data": ["a", "b"]}')
    assert len(page.app.state_holder.session_data) == 5
    assert len(page._queue.pending_event_ids_session) <= 30


def test_events_are_not_counted_again_and_again_for_a_page_that_is_off(page) -> None:
    ask(Visitor(page))
    assert page._queue.cached_event_analytics_summary == {"functions": {}}
    assert len(page._queue.event_analytics) <= gradio_internals._EVENTS
    assert Visitor(page).request("GET", "/monitoring/summary")[0] in (403, 404)


def test_another_gradio_than_was_tested_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    gradio_internals.check_version()
    monkeypatch.setattr(gr, "__version__", "6.32.0")
    with pytest.raises(UserError, match=r"^this page needs Gradio 6\.31\.x, and 6\.32\.0 is installed: "):
        gradio_internals.check_version()
