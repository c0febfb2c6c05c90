"""The page as it is served, and a Chromium to look at it with. Nothing in the suite asks the hub."""

from __future__ import annotations

import os

# both are read when the libraries are imported
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import json
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from qa_compare.backbones import ADAPTERS, BACKBONES
from qa_compare.engine import Engine
from qa_compare.service import Service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BACKBONE = "minilm-l6-qa"
SHIPPED = ("base", "lora", "prompt-tuning")
HOST = "127.0.0.1"
# Chromium itself would otherwise look for updates
QUIET = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync""".split()
OpenPage = Callable[..., "Page"]

settings.register_profile("shared-machine", deadline=None)  # a busy processor is no failure
settings.load_profile("shared-machine")


# test modules that train, kill, serve or start processes
SLOW = set(
    """test_any_input test_any_request test_benchmarks test_cli test_damaged_adapters test_disks test_docs test_doctor
    test_evaluate_command test_experiments test_faults test_fuzz test_importance_benchmark test_kills test_model_cards
    test_page test_queue test_security test_serving test_space test_train_methods test_train_robust test_training
    test_uploads""".split()
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow modules in one place."""
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)


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


@pytest.fixture(scope="session")
def service() -> Service:
    """The real engines with the adapters of this checkout."""
    if missing := [name for name in SHIPPED if not (ADAPTERS / BACKBONE / name / "variant.json").is_file()]:
        pytest.skip(f"not in this checkout: the adapters {', '.join(missing)} of {BACKBONE}")
    return Service({name: Engine(name) for name in BACKBONES}, BACKBONE)


@pytest.fixture(scope="session")
def served(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the running page."""
    from qa_compare.serving import Settings, serve

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))  # uploads lie there
        page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
        yield page.local_url
        page.close(verbose=False)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


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


@pytest.fixture
def open_page(served: str, browser: Browser) -> Iterator[OpenPage]:
    """Opens the page in a window of its own; at the end, no window may have logged an error or asked another host."""
    problems: list[str] = []
    contexts = []

    def look_at(request: Any) -> None:
        if not request.url.startswith((served, "data:", "blob:")):
            problems.append(f"asked for {request.url}")

    def open_(width: int = 1440, theme: str = "light", height: int = 900, query: str = "") -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("request", look_at)
        page.on("pageerror", lambda error: problems.append(f"raised {error}"))
        page.on("dialog", lambda dialog: (problems.append(f"opened a dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda line: problems.append(f"logged {line.text}") if line.type == "error" else None)
        page.goto(f"{served}?__theme={theme}&{query}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="session")
def squad_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQuAD file of two questions, as a visitor would upload it."""
    from qa_compare.examples import to_squad
    from qa_compare.files import write_json
    from tests import tiny

    path = tmp_path_factory.mktemp("uploads") / "rivers.json"
    write_json(path, to_squad(tiny.examples(2)))
    return path
