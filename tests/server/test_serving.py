"""Around the page: what is logged of a request, who may come in, how often, how large, and what is served at all."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import http.client
import itertools
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlparse
from urllib.request import Request, urlopen

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

import app
from qa_compare.data.readers import MAX_UPLOAD
from qa_compare.errors import UserError
from qa_compare.inference.engine import Engine
from qa_compare.models.backbones import ADAPTERS
from qa_compare.page import shell as page_module
from qa_compare.page import stopping
from qa_compare.server import requests
from qa_compare.server.middleware import MAX_BODY
from qa_compare.server.requests import Rate, size, watch
from qa_compare.server.serving import HEALTH, Settings, serve, settings
from qa_compare.workbench.service import Service
from tests import measured
from tests.conftest import HOST, free_port
from tests.patience import until
from tests.places import ROOT
from tests.visiting import EVENTS, Visitor

pytestmark = pytest.mark.slow

SECRET = "Passage of which nobody may read in a log."
QUESTION = "What may nobody read?"
LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00) (?P<name>\S+) sizes=(?P<sizes>[\d,-]+) ms=(?P<ms>\d+) "
    r"outcome=(?P<outcome>\S+)"
)


@pytest.fixture(scope="module")
def river(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A tiny backbone with a sound and a broken variant, cheap to serve."""
    folder = tmp_path_factory.mktemp("serving")
    measured.backbone(folder)
    for seed, name in enumerate(("base", "lora")):
        measured.variant(folder / "adapters", name, seed=seed)
    (folder / "adapters" / "river-bert" / "prompt-tuning").mkdir()
    engine = Engine(str(folder / "river-bert"), adapters=folder / "adapters", precision="fp32")
    assert engine.located
    return Service({engine.backbone: engine}, engine.backbone)


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gradio")


@contextmanager
def opened(river: Service, chosen: Settings, uploads: Path) -> Iterator[gr.Blocks]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(uploads))
        made = serve(river, host=HOST, port=free_port(), chosen=chosen, wait=False)
        yield made
        made.close(verbose=False)


@pytest.fixture(scope="module")
def page_blocks(river: Service, uploads: Path) -> Iterator[gr.Blocks]:
    """The page as it is served where nothing is set."""
    with opened(river, Settings(), uploads) as made:
        yield made


@pytest.fixture(scope="module")
def page(page_blocks: gr.Blocks) -> str:
    """Its address."""
    return str(page_blocks.local_url)


@pytest.fixture
def set_page(river: Service, request: pytest.FixtureRequest, uploads: Path) -> Iterator[str]:
    """The same with the settings that the test is given."""
    with opened(river, request.param, uploads) as made:
        yield made.local_url


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(requests.LOG, "propagate", True)
    caplog.set_level(logging.INFO, "qa_compare.requests")
    return caplog


def fetch(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urlopen(Request(url, headers=headers)) as reply:
            return reply.status, reply.read().decode("utf-8", "replace")
    except HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def compare(page: str, **options: Any) -> Any:
    return Client(page, verbose=False, **options).predict(passage=SECRET, question=QUESTION, api_name="/compare")


def test_a_request_is_a_line_of_time_endpoint_sizes_milliseconds_and_outcome(
    page: str, log: pytest.LogCaptureFixture
) -> None:
    assert compare(page)["variants"]
    [found] = [LINE.fullmatch(text) for text in log.messages if "/compare" in text]
    assert found
    assert found["sizes"] == f"{len(SECRET)},{len(QUESTION)},0"
    assert found["outcome"] == "ok"
    assert SECRET not in log.text
    assert QUESTION not in log.text


def test_a_refused_request_says_so_in_its_line(page: str, log: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AppError):
        Client(page, verbose=False).predict(passage="", question=QUESTION, api_name="/compare")
    [found] = [LINE.fullmatch(text) for text in log.messages if "/compare" in text]
    assert found
    assert (found["sizes"], found["outcome"]) == (f"0,{len(QUESTION)},0", "refused")


@pytest.mark.parametrize("set_page", [Settings(log_texts=True)], indirect=True)
def test_texts_are_logged_where_that_is_asked_for(set_page: str, log: pytest.LogCaptureFixture) -> None:
    compare(set_page)
    assert json.dumps([SECRET, QUESTION]) in log.text


def test_whatever_the_page_does_is_watched(river: Service) -> None:
    from qa_compare.page.shell import build_page

    made = build_page(river)
    before = {number: event.fn for number, event in made.fns.items() if event.fn}
    watch(made)
    assert all(made.fns[number].fn.__wrapped__ is fn for number, fn in before.items())
    names = {requests.name(made.fns[number]) for number in before}
    assert {"/compare", "/errors", "/metrics"} <= names


def test_a_generator_is_one_line_when_it_ends_or_is_left(log: pytest.LogCaptureFixture) -> None:
    def counting(word: str) -> Iterator[str]:
        yield word
        yield word

    whole = requests._watched(counting, "counting", None, False)
    assert list(whole("abc")) == ["abc", "abc"]
    left = whole("ab")
    assert next(left) == "ab"
    left.close()  # type: ignore[attr-defined]
    found = [LINE.fullmatch(text) for text in log.messages]
    assert [one and (one["sizes"], one["outcome"]) for one in found] == [("3", "ok"), ("2", "cancelled")]


def test_what_waits_without_a_thread_is_waited_for_and_one_line(log: pytest.LogCaptureFixture) -> None:
    async def patient(word: str) -> str:
        await asyncio.sleep(0)
        stopping.refused()
        return word

    watched = requests._watched(patient, "patient", None, False)
    assert asyncio.run(watched("abc")) == "abc"
    [line] = [LINE.fullmatch(text) for text in log.messages]
    assert line
    assert (line["name"], line["sizes"], line["outcome"]) == ("patient", "3", "refused")


def test_an_error_that_nobody_foresaw_is_named_without_its_text(log: pytest.LogCaptureFixture) -> None:
    def broken(_word: str) -> None:
        raise RuntimeError(SECRET)

    with pytest.raises(RuntimeError):
        requests._watched(broken, "broken", None, False)("x")
    assert log.messages[0].endswith("outcome=failed:RuntimeError")


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ([stopping.refused], "refused"),
        ([stopping.cancelled], "cancelled"),
        ([stopping.refused, stopping.cancelled], "refused"),
        ([lambda: stopping.failed(MemoryError(SECRET))], "failed:MemoryError"),
        ([], "ok"),
    ],
)
def test_what_a_handler_told_its_visitor_in_the_page_is_the_outcome(
    log: pytest.LogCaptureFixture, told: list[Callable[[], None]], line: str
) -> None:
    def once() -> str:
        for tell in told:
            tell()
        return SECRET

    def steps() -> Iterator[str]:
        yield SECRET
        yield once()

    assert requests._watched(once, "once", None, False)() == SECRET
    running = requests._watched(steps, "steps", None, False)()
    for _ in range(3):  # each step in a context of its own, as Gradio has it
        contextvars.copy_context().run(next, running, None)
    assert [text.rsplit("=", 1)[1] for text in log.messages] == [line, line]


def test_a_question_that_the_page_refuses_is_refused_in_the_log(
    river: Service, page_blocks: gr.Blocks, log: pytest.LogCaptureFixture
) -> None:
    visitor = Visitor(page_blocks)
    asked = ("river-bert", ["base", "lora"], "sample", None, None, "", SECRET, None, "answer")
    assert "passage" in str(visitor.run("ask", *asked))
    visitor.run("choose a question", None, "squad", None, "q")
    refused = [text.split()[1] for text in log.messages if text.endswith("outcome=refused")]
    assert refused == [EVENTS["ask"], EVENTS["choose a question"]]
    assert SECRET not in log.text


def test_a_call_with_too_few_values_leaves_no_text_of_it_in_the_log(
    page: str, capfd: pytest.CaptureFixture[str]
) -> None:
    _, body = post(page, "gradio_api/call/compare", json.dumps({"data": [SECRET]}).encode())
    assert "event: error" in fetch(f"{page}gradio_api/call/compare/{json.loads(body)['event_id']}")[1]
    said = capfd.readouterr()
    assert "ValueError" in said.err
    assert "validate_inputs" in said.err
    assert SECRET not in said.err + said.out


def test_sizes_are_characters_and_entries() -> None:
    assert [size(value) for value in ("abc", ["a"], {"a": 1}, None, 5)] == [3, 1, 1, 0, 1]


@pytest.mark.parametrize("set_page", [Settings(rate=2)], indirect=True)
def test_a_session_that_asks_too_often_is_told_when_to_come_again(set_page: str) -> None:
    client = Client(set_page, verbose=False)
    for _ in range(2):
        client.predict(passage=SECRET, question=QUESTION, api_name="/compare")
    with pytest.raises(AppError, match=r"At most 2 questions a minute are answered: try again in \d+ s"):
        client.predict(passage=SECRET, question=QUESTION, api_name="/compare")
    client.predict(backbone="river-bert", api_name="/metrics")  # takes no model
    assert compare(set_page)["variants"]  # somebody else's session


def test_a_minute_later_it_may_ask_again_and_old_sessions_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_MOST_SESSIONS", 3)
    now = [0.0]
    rate = Rate(2, lambda: now[0])
    assert [rate.wait("a"), rate.wait("a"), rate.wait("a")] == [0, 0, 60]
    now[0] = 59
    assert rate.wait("a") == 1
    now[0] = 60
    assert rate.wait("a") == 0
    for name in "bcde":
        now[0] += 100
        assert rate.wait(name) == 0
    assert len(rate._asked) <= 4


@pytest.mark.parametrize(
    ("environment", "made"),
    [
        ({}, Settings()),
        ({"QA_COMPARE_AUTH": "ada:love:lace"}, Settings(auth=("ada", "love:lace"))),
        ({"QA_COMPARE_RATE": "30", "QA_COMPARE_LOG_TEXT": "1"}, Settings(rate=30, log_texts=True)),
        ({"QA_COMPARE_LOG_TEXT": "0"}, Settings()),
    ],
)
def test_settings_come_from_the_environment(environment: dict[str, str], made: Settings) -> None:
    assert settings(environment) == made


@pytest.mark.parametrize("value", ["ada", "ada:", ":", ":secret", " :x"])
def test_half_a_password_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(UserError, match=r"^QA_COMPARE_AUTH must be user:password$"):
        settings({"QA_COMPARE_AUTH": value})
    assert "secret" not in repr(Settings(auth=("ada", "secret")))


@pytest.mark.parametrize("value", ["-1", "1.5", "many", "²"])
def test_a_rate_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(UserError, match="QA_COMPARE_RATE must be a whole number"):
        settings({"QA_COMPARE_RATE": value})


@pytest.mark.parametrize("value", ["0", "-1", "65536", "x"])
def test_a_port_that_there_is_not_is_refused_in_one_line(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", value)
    with pytest.raises(SystemExit, match="2"):
        app.parser().parse_args([])
    assert "error: argument --port: " in capsys.readouterr().err.splitlines()[-1]


def test_healthz_has_versions_and_every_variant_with_its_state(page: str, river: Service) -> None:
    status, body = fetch(f"{page}{HEALTH[1:]}")
    found = json.loads(body)
    assert (status, found["state"]) == (200, "degraded")
    assert found["versions"]["gradio"] == gr.__version__
    assert found["versions"]["python"] == sys.version.split()[0]
    variants = found["backbones"]["river-bert"]["variants"]
    assert variants == {"base": None, "lora": None, "prompt-tuning": "prompt-tuning/variant.json is missing"}
    assert found["backbones"]["river-bert"]["ready"] is True
    assert str(river.engines["river-bert"].adapters) not in body


@pytest.mark.parametrize("set_page", [Settings(auth=("ada", "lovelace"))], indirect=True)
def test_with_a_password_nothing_is_answered_without_it(set_page: str) -> None:
    paths = ("config", "gradio_api/info", "gradio_api/file=app.py")
    assert {path: fetch(set_page + path)[0] for path in paths} == dict.fromkeys(paths, 401)
    with pytest.raises(Exception, match=r"401|auth|login|credentials"):
        compare(set_page)
    assert "Compare answers" not in fetch(set_page)[1]
    assert compare(set_page, auth=("ada", "lovelace"))["variants"]
    assert json.loads(fetch(f"{set_page}healthz")[1]) == {"state": "up"}
    right = base64.b64encode(b"ada:lovelace").decode()
    assert "versions" in json.loads(fetch(f"{set_page}healthz", Authorization=f"Basic {right}")[1])
    assert json.loads(fetch(f"{set_page}healthz", Authorization=f"Basic {right[:-4]}")[1]) == {"state": "up"}


OUTSIDE = [
    "app.py",
    "README.md",
    "qa_compare/server/serving.py",
    ROOT / "README.md",
    ADAPTERS / "minilm-l6-qa" / "lora" / "variant.json",
    Path(sys.executable),
    Path(sys.prefix) / "pyvenv.cfg",
    Path(gr.__file__),
    "/etc/passwd",
    "/etc/../etc/passwd",
    "/proc/self/environ",
    "../../../../../../etc/passwd",
    "..%2f..%2fetc/passwd",
    "file:///etc/passwd",
    "http://127.0.0.1:1/",
]


@pytest.mark.parametrize("path", OUTSIDE, ids=str)
@pytest.mark.parametrize("route", ["gradio_api/file=", "file=", "gradio_api/file/", "static/", "assets/", "svelte/"])
def test_no_file_of_the_server_is_served(served: str, route: str, path: Path | str) -> None:
    status, body = fetch(served + route + quote(str(path), safe="/%:"))
    assert status in (400, 403, 404, 405), body[:200]
    assert "root:" not in body


# as they stand in the request's first line: encoded once and twice, backwards, from the folder that is served
ENCODED = """..%2f..%2f..%2fetc%2fpasswd %2e%2e/%2e%2e/%2e%2e/etc/passwd %252e%252e%252f%252e%252e%252fetc%252fpasswd
    ..%5c..%5cetc%5cpasswd ....//....//etc/passwd %2fetc%2fpasswd //etc/passwd /etc/./passwd /etc/passwd%00.csv
    ~root/.bashrc {uploads}/../../../../../../etc/passwd {uploads}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd
    {uploads}/%2e%2e%2f%2e%2e%2fetc {root}/.git/config {root}/.venv/pyvenv.cfg {root}/adapters
    /proc/self/root/etc/passwd /dev/stdin""".split()


@pytest.mark.parametrize("path", ENCODED)
def test_no_way_of_writing_a_path_leads_out_of_the_upload_folder(page: str, uploads: Path, path: str) -> None:
    place = urlparse(page)
    connection = http.client.HTTPConnection(str(place.hostname), place.port)
    path = path.format(uploads=uploads, root=ROOT)
    connection.putrequest("GET", f"/gradio_api/file={path}", skip_accept_encoding=True)  # which leaves it as it is
    connection.endheaders()
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    assert reply.status in (400, 403, 404), body[:200]
    assert b"root:" not in body


@pytest.mark.parametrize(
    "name", ["../../evil.json", "..%2f..%2fevil.json", "/tmp/evil.json", "..\\..\\evil.json", ".."]
)
def test_the_name_of_an_upload_leads_nowhere(page: str, uploads: Path, name: str) -> None:
    before = set(uploads.parent.rglob("*evil*"))
    status, body = post(page, "gradio_api/upload", *form(name, b"{}"))
    for path in json.loads(body) if status == 200 else []:
        assert Path(path).resolve().parent.parent == uploads.resolve()
        Path(path).unlink()
    assert status in (200, 400)
    assert set(uploads.parent.rglob("*evil*")) == before
    assert not Path("/tmp/evil.json").exists()


def test_a_path_given_as_an_uploaded_file_is_not_read(served: str) -> None:
    """Every event that takes a file, called as its own page would, with a file that nobody uploaded."""
    config = json.loads(fetch(f"{served}config")[1])
    takes = {one["id"] for one in config["components"] if one["type"] in ("uploadbutton", "file")}
    events = [one for one in config["dependencies"] if takes & set(one["inputs"])]
    assert len(takes) == 4  # of Compare, of the errors (questions and predictions), of the batch
    assert {number for one in events for number in one["inputs"]} >= takes
    paths = ("/etc/passwd", str(ROOT / "README.md"), "../../../../etc/passwd", "https://example.org/etc/passwd")
    for number, (event, path) in enumerate(itertools.product(events, paths)):
        data = [
            {"path": path, "meta": {"_type": "gradio.FileData"}} if one in takes else None for one in event["inputs"]
        ]
        thief = f"thief{number}"
        body = {"data": data, "fn_index": event["id"], "session_hash": thief, "event_data": None}
        status, text = post(served, "gradio_api/queue/join", json.dumps(body).encode())
        assert status == 200
        assert json.loads(text)["event_id"]
        text = fetch(f"{served}gradio_api/queue/data?session_hash={thief}")[1]
        assert '"success":false' in text
        assert "root:" not in text
        assert "qa_compare" not in text


def post(page: str, path: str, body: bytes, kind: str = "application/json") -> tuple[int, str]:
    request = Request(page + path, body, {"Content-Type": kind})
    try:
        with urlopen(request) as reply:
            return reply.status, reply.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def chunked(page: str, path: str, size: int) -> int:
    """The status of a body that does not say how long it is."""
    place = urlparse(page)
    connection = http.client.HTTPConnection(str(place.hostname), place.port)
    pieces = (b"x" * 2**20 for _ in range(size // 2**20))
    connection.request(
        "POST", f"/{path}", body=pieces, headers={"Content-Type": "application/json"}, encode_chunked=True
    )
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_body_over_the_limit_is_refused_before_it_is_read(page: str, log: pytest.LogCaptureFixture) -> None:
    status, body = post(page, "gradio_api/call/compare", b'{"data": ["' + b"x" * MAX_BODY + b'", "y"]}')
    assert (status, json.loads(body)["detail"]) == (413, "That is too large: at most 8 MB are read at once.")
    assert re.search(r"/gradio_api/call/compare sizes=8\d{6} ", log.text)
    assert "outcome=refused:413" in log.text
    assert compare(page)["variants"]


def test_a_body_that_hides_its_length_is_cut_off_at_the_limit(page: str) -> None:
    assert chunked(page, "gradio_api/queue/join", 2 * MAX_BODY) == 413
    assert compare(page)["variants"]


def form(name: str, content: bytes) -> tuple[bytes, str]:
    edge = "xxedgexx"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    return head + content + f"\r\n--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


@pytest.mark.parametrize("over", [1, 2**22], ids=["just over", "far over"])
def test_an_upload_over_the_limit_is_refused_and_leaves_no_file(page: str, uploads: Path, over: int) -> None:
    status, _ = post(page, "gradio_api/upload", *form("f.json", b"x" * (MAX_UPLOAD + over)))
    assert status == 413
    left = [path for path in uploads.rglob("*") if path.is_file() and path.stat().st_size > MAX_UPLOAD]
    assert left == []
    assert post(page, "gradio_api/upload", *form("f.json", b"x"))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"data": ["a"]}',
        b'{"data": ["a", "b", "c", "d"]}',
        b'{"data": {"passage": "a"}}',
        b'{"data": null}',
        b"{}",
        b"null",
        b'{"data": [NaN, Infinity]}',
        b"\xff\xfe",
        b"",
    ],
)
def test_a_malformed_call_is_refused_and_the_page_lives(page: str, body: bytes) -> None:
    status, text = post(page, "gradio_api/call/compare", body)
    if status == 200:
        event = json.loads(text)["event_id"]
        text = fetch(f"{page}gradio_api/call/compare/{event}")[1]
        assert "event: error" in text or "event: complete" in text  # Gradio passes over values that are too many
    else:
        assert 400 <= status < 500, text
    assert "Traceback" not in text
    assert compare(page)["variants"]


def test_a_full_queue_says_when_to_come_again(
    page: str, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gradio.queueing.Queue.__len__", lambda _queue: 64)
    request = Request(f"{page}gradio_api/call/compare", b'{"data": ["a", "b"]}', {"Content-Type": "application/json"})
    with pytest.raises(HTTPError) as refused:
        urlopen(request)
    found = re.fullmatch(r"Busy: 64 requests are waiting\. Try again in (\d+) s\.", json.load(refused.value)["detail"])
    assert found
    assert refused.value.code == 429
    assert refused.value.headers["Retry-After"] == found[1]
    assert re.search(r" /gradio_api/call/compare sizes=\d+ ms=\d+ outcome=busy$", log.text, re.MULTILINE)


def test_what_was_uploaded_is_gone_after_its_time(
    river: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert sum(page_module.TIDY) <= 3600
    monkeypatch.setattr(page_module, "TIDY", (1, 1))
    made = serve(river, host=HOST, port=free_port(), chosen=Settings(), wait=False)
    try:
        status, body = post(made.local_url, "gradio_api/upload", *form("mine.json", b"{}"))
        assert status == 200
        path = Path(json.loads(body)[0])
        assert path.name == "mine.json"
        until(lambda: not path.exists(), "the upload is still there")
        assert fetch(f"{made.local_url}gradio_api/file={path}")[0] in (403, 404)
    finally:
        made.close(verbose=False)


def test_an_upload_lies_at_an_address_that_nobody_can_guess(page: str, uploads: Path) -> None:
    """Its folder is the hash of its bytes: who does not have the file does not know where it is."""
    _, body = post(page, "gradio_api/upload", *form("mine.json", os.urandom(64)))
    path = Path(json.loads(body)[0])
    assert path.is_relative_to(uploads)
    assert re.fullmatch(r"[0-9a-f]{64}", path.parent.name)
    assert fetch(f"{page}gradio_api/file={path}")[0] == 200
    assert fetch(f"{page}gradio_api/file={path.parent}")[0] in (403, 404)
    assert fetch(f"{page}gradio_api/file={uploads}")[0] in (403, 404)
