"""Whatever is sent to a public endpoint over HTTP, what comes back is a result or a sentence, and the page lives."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlparse

import pytest
from hypothesis import example as given_example
from hypothesis import given
from hypothesis import strategies as st

from qa_compare.server.serving import Settings, serve
from qa_compare.workbench.answers import Inspector
from qa_compare.workbench.service import SAMPLE
from tests.cases import cases
from tests.conftest import HOST, free_port
from tests.patience import until
from tests.workbench import test_any_input

ENDPOINTS = {"compare": 3, "metrics": 1, "errors": 13, "predict_batch": 4}  # how many values each takes
inspector = test_any_input.inspector
anything, any_text = test_any_input.anything, test_any_input.any_text
row = {"passage": "The river rises in the north.", "question": "Where rises the river?"}
plausible = st.sampled_from([row["passage"], [row], "river-bert", "lora", ["base", "lora"], SAMPLE, "", None, 0, 1, 5])
file = st.fixed_dictionaries(
    {
        "path": st.sampled_from(["/etc/passwd", "https://example.org/x", "/proc/self/environ", "..", "\0", ""])
        | any_text
    },
    optional={"url": any_text, "size": anything, "meta": st.just({"_type": "gradio.FileData"}) | anything},
)
value = plausible | anything | file
more = {"session_hash": any_text | anything, "fn_index": st.integers(0, 60) | anything, "event_data": anything}

# the server's threads draw random numbers meanwhile, which Hypothesis takes for the strategies' doing
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Do not use the `random` module")]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, bytes]:
    """An endpoint, and what is sent to it: with as many values as it takes, or anything, or no JSON at all."""
    name = draw(st.sampled_from(sorted(ENDPOINTS)))
    kind = draw(st.sampled_from(["right", "right", "right", "any", "bytes"]))
    if kind == "bytes":
        return name, draw(st.binary(max_size=60))
    number = ENDPOINTS[name]
    data = draw(st.lists(value, min_size=number, max_size=number) if kind == "right" else anything)
    return name, json.dumps({"data": data, **draw(st.fixed_dictionaries({}, optional=more))}).encode()


class Visitor:
    """A connection to the page."""

    def __init__(self, page: Any) -> None:
        place, self.page = urlparse(page.local_url), page
        self.connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        self.connection.request(method, path, body, {"Content-Type": "application/json"})
        reply = self.connection.getresponse()
        return reply.status, reply.read().decode()

    def call(self, name: str, body: bytes) -> tuple[int, str]:
        """The answer to a call: of the call itself where it is refused, else of the event that it began."""
        status, text = self.ask("POST", f"/gradio_api/call/{name}", body)
        if status != 200:
            return status, text
        return self.ask("GET", f"/gradio_api/call/{name}/{json.loads(text)['event_id']}")


@pytest.fixture(scope="module")
def visitor(inspector: Inspector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        # Python 3.11 parses lines of code to print a traceback, and fails where another thread (Hypothesis) does, too
        patch.setattr("traceback.print_exc", lambda *_given, **_options: None)
        made = serve(inspector.service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
        found = Visitor(made)
        yield found
        found.connection.close()
        made.close(verbose=False)


def expect_sentence(said: Any) -> None:
    assert isinstance(said, str), said
    assert 5 < len(said) < 1_000
    assert "Traceback" not in said
    assert "\n" not in said


def expect_outcome(status: int, text: str) -> None:
    """A result, or a sentence: of ours, or of the framework's on what in a body it cannot take."""
    assert status < 500, text
    if status != 200:
        detail = json.loads(text)["detail"]
        for one in detail if isinstance(detail, list) else [{"msg": detail}]:
            expect_sentence(one["msg"])
        return
    kind, data = text.strip().split("\n\n")[-1].split("\n", 1)
    found = json.loads(data.removeprefix("data: "), parse_constant=pytest.fail)
    if kind == "event: complete":
        assert isinstance(found[0], dict)
    else:
        assert kind == "event: error"
        expect_sentence(found["error"] if isinstance(found, dict) else found)


@given(sent=bodies())
@cases(60)
@given_example(sent=("compare", b'{"data": [NaN, Infinity, -1e999]}'))
@given_example(sent=("compare", b'{"data": ' + b"[" * 900 + b"]" * 900 + b"}"))
@given_example(sent=("compare", b'{"data": "\\ud83d"}'))
@given_example(sent=("compare", b'{"data": ["a b", "\\ud83d", null], "session_hash": "\\ud83d"}'))
@given_example(sent=("predict_batch", b'{"data": [' + b"[" * 500 + b"]" * 500 + b', null, "", null]}'))
@given_example(sent=("predict_batch", b'{"data": [[' + b"{}," * 300_000 + b'{}], null, "", null]}'))
@given_example(sent=("metrics", b'{"data": [' + b"9" * 4_000 + b"]}"))
@given_example(sent=("v2/compare", b'{"passage": 1}'))
@given_example(sent=("v2/predict_batch", b'{"questions": [{"passage": "a b", "question": "b"}]}'))
@given_example(sent=("nowhere", b'{"data": []}'))
def test_any_request_gets_a_result_or_a_sentence_and_the_page_lives(visitor: Visitor, sent: tuple[str, bytes]) -> None:
    expect_outcome(*visitor.call(*sent))


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "https://example.org/x.csv", "//etc/passwd"])
@pytest.mark.parametrize("name", sorted(ENDPOINTS))
def test_a_file_of_the_server_or_of_another_host_is_not_read_by_any_endpoint(
    visitor: Visitor, name: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def fetch(url: str, **_options: Any) -> str:
        asked.append(url)
        raise OSError("nobody is asked in a test")

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    for given_file in ({"path": path, "meta": {"_type": "gradio.FileData"}}, {"path": path}):
        data = json.dumps({"data": [given_file] * ENDPOINTS[name]}).encode()
        status, text = visitor.call(name, data)
        expect_outcome(status, text)
        assert "event: error" in text
        assert "root:" not in text
        assert "PATH=" not in text
    assert asked == []
    if path.startswith("https"):
        with_meta = {"path": path, "meta": {"_type": "gradio.FileData"}}
        _, text = visitor.call(name, json.dumps({"data": [with_meta] * ENDPOINTS[name]}).encode())
        assert "A file is uploaded here, and not fetched from an address." in text


def test_an_odd_session_spoils_nothing_for_those_after_it(visitor: Visitor) -> None:
    visitor.call("metrics", b'{"data": ["river-bert"], "session_hash": "\\ud83d"}')
    assert "event: complete" in visitor.call("metrics", b'{"data": ["river-bert"]}')[1]
    until(lambda: visitor.page._queue.event_ids_to_events == {}, "an event is still there")  # let go of last of all


@pytest.mark.parametrize("way", ["run", "api"])
def test_nobody_goes_past_the_queue(visitor: Visitor, way: str) -> None:
    status, text = visitor.ask("POST", f"/gradio_api/{way}/compare", b'{"data": ["a b", "b", null]}')
    assert status == 404
    assert "join the queue" in json.loads(text)["detail"]


@given(query=st.dictionaries(any_text.map(lambda text: text.encode("utf-8", "replace").hex()), any_text, max_size=3))
@cases(10)
def test_any_address_gets_the_page(visitor: Visitor, query: dict[str, str]) -> None:
    # percent-encoded byte by byte: names that are no text, and halves of characters
    sent = "&".join(
        f"{name}=" + "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))
        for name, text in query.items()
    )
    status, text = visitor.ask("GET", f"/?{sent}")
    assert status == 200
    assert "gradio_config" in text
