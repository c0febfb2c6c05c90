"""The page as it is served, and a Chromium to look at it with. Nothing in the suite asks the hub."""

from __future__ import annotations

import os

# all are read when the libraries are imported
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):  # each has its share of the cores, and so has what it starts
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

import itertools
import json
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from qa_compare.files import write_json

# no more than this: the process that deals the tests out imports it before any worker starts
from qa_compare.models.backbones import ADAPTERS, BACKBONES
from tests.places import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from qa_compare.data.examples import Example
    from qa_compare.workbench.service import Service

DATA = ROOT.parent / "shared" / "data"
BACKBONE = "minilm-l6-qa"
SHIPPED = ("base", "lora", "prompt-tuning")
HOST = "127.0.0.1"
# Chromium itself would otherwise look for updates
QUIET = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync""".split()
OpenPage = Callable[..., "Page"]
_ASKED = itertools.count()

# a busy processor is no failure, neither where a case is tried nor where it is made up
settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")


# modules that train, kill, serve, start processes, load many models or try thousands of cases say so themselves
_SLOW = re.compile(r"^pytestmark\s*=\s*(\[[^\]]*)?pytest\.mark\.slow\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the slow modules where nobody wants them: they take seconds to import."""
    if "not slow" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    return True if _SLOW.search(collection_path.read_text(encoding="utf-8")) else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many cases the property tests have tried. QA_COMPARE_COUNTS names a JSON file for them, test by test."""
    found = {}
    for report in (one for reports in terminalreporter.stats.values() for one in reports):
        if told := getattr(report, "_hypothesis_stats", ""):
            found[report.nodeid] = sum(map(int, re.findall(r"(\d+) passing", told)))
    if found:
        terminalreporter.write_line(f"hypothesis: {sum(found.values()):,} cases in {len(found)} tests")
    if path := os.environ.get("QA_COMPARE_COUNTS"):
        Path(path).write_text(json.dumps(found))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session", autouse=True)
def own_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What is uploaded and exported lies in a folder of this process."""
    folder = tmp_path_factory.mktemp("gradio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def service() -> Service:
    """The real engines with the adapters of this checkout."""
    if missing := [name for name in SHIPPED if not (ADAPTERS / BACKBONE / name / "variant.json").is_file()]:
        pytest.skip(f"not in this checkout: the adapters {', '.join(missing)} of {BACKBONE}")
    from qa_compare.inference.engine import Engine
    from qa_compare.workbench.service import Service

    return Service({name: Engine(name) for name in BACKBONES}, BACKBONE)


@pytest.fixture(scope="session")
def served(service: Service, own_files: Path) -> Iterator[str]:
    """The address of the running page."""
    from qa_compare.server.serving import Settings, serve

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(own_files))  # a module may have set another for a page of its own
        page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
    yield page.local_url
    page.close(verbose=False)


def free_port() -> int:
    """A port that nothing listens on: below those that the system gives to connections, and never one twice.

    A server may take seconds until it listens, while other tests run in other processes: each begins elsewhere.
    """
    while True:
        with socket.socket() as listener:
            port = 10_000 + (97 * os.getpid() + next(_ASKED)) % 20_000
            with suppress(OSError):
                listener.bind((HOST, port))
                return port


def chromium() -> str:
    """The browser's path; without one, the test is skipped, or fails where a browser is required."""
    named = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
    found = shutil.which(named)
    if found:
        return found
    reason = f"there is no browser: {named} is not a program (CHROMIUM names another)"
    if os.environ.get("QA_COMPARE_REQUIRE_BROWSER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")  # Playwright's event loop must be gone before other modules start their own
def browser() -> Iterator[Browser]:
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """What all windows of a module share: Gradio's scripts are fetched and compiled once."""
    made = browser.new_context(reduced_motion="reduce")
    yield made
    made.close()


@pytest.fixture
def open_page(served: str, browser: Browser, context: BrowserContext) -> Iterator[OpenPage]:
    """Opens the page in a window of its own; at the end, no window may have logged an error or asked another host."""
    problems: list[str] = []
    pages: list[Page] = []

    def look_at(request: Any) -> None:
        if not request.url.startswith((served, "data:", "blob:")):
            problems.append(f"asked for {request.url}")

    def listen(line: Any) -> None:
        # Gradio's page cancels an event whose number it has not heard of yet by none, which its server refuses
        if line.type == "error" and not line.location.get("url", "").endswith("/cancel"):
            problems.append(f"logged {line.text}")

    def open_(
        width: int = 1440, theme: str = "light", height: int = 900, query: str = "", *, anew: bool = False
    ) -> Page:
        page = browser.new_page(reduced_motion="reduce") if anew else context.new_page()  # as another browser has it
        page.set_default_timeout(60_000)
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.on("request", look_at)
        page.on("pageerror", lambda error: problems.append(f"raised {error}"))
        page.on("dialog", lambda dialog: (problems.append(f"opened a dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", listen)
        page.goto(f"{served}?__theme={theme}&{query}")
        return page

    yield open_
    for page in pages:
        page.close()
    context.clear_cookies()
    context.clear_permissions()
    assert problems == []


@pytest.fixture(scope="session")
def squad() -> list[Example]:
    """SQuAD's 10,570 validation questions, where they lie beside the checkout; nothing of them is in it."""
    if not (DATA / "squad" / "dev-v1.1.json").is_file():
        pytest.skip("SQuAD's validation file is not on this machine")
    from qa_compare.data.readers import read_examples

    return read_examples(DATA / "squad" / "dev-v1.1.json")


@pytest.fixture(scope="session")
def squad_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQuAD file of two questions, as a visitor would upload it."""
    from qa_compare.data.examples import to_squad
    from tests import tiny

    path = tmp_path_factory.mktemp("uploads") / "rivers.json"
    write_json(path, to_squad(tiny.examples(2)))
    return path
