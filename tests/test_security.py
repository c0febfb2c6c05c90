"""What nobody may get out of or into the page: no code is loaded, no text becomes markup, no cell becomes a formula."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from qa_compare.analysis import Column, Table
from qa_compare.examples import Answer, Example
from qa_compare.rows_export import as_csv
from qa_compare.sources import sample
from tests.conftest import OpenPage

ROOT = Path(__file__).parent.parent
FOLDERS = ("qa_compare", "train", "benchmarks", "docs")
SOURCES = [ROOT / "app.py", *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
FORBIDDEN = {
    "pickle": r"\b(?:import|from)\s+(?:c?pickle|dill|cloudpickle|joblib|shelve|marshal)\b|\bpickle\.|allow_pickle=True",
    "torch.load": r"\btorch\.load\b|\.load_state_dict_from_url\b",
    "trust_remote_code": r"trust_remote_code(?!=False\b)",
    "code from texts": r"(?<![\w.])(?:eval|exec|__import__)\(|\byaml\.(?:load|unsafe_load)\(|shell=True|\bos\.system\(",
    "weights that are not safetensors": r"use_safetensors\s*=\s*False|safe_serialization\s*=\s*False",
}
# one string that runs in each place where a text can land: an element, an attribute, a script, a link, a template
EVIL = (
    "<script>window.ran = 1</script>",
    '<img src=x onerror="window.ran = 1">',
    "\"><svg onload='window.ran = 1'>",
    "' onmouseover='window.ran = 1' autofocus onfocus='window.ran = 1",
    '<a href="javascript:window.ran = 1">the river</a>',
    "</textarea></style></script><script>window.ran = 1</script>",
    "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe>",
    "{{constructor.constructor('window.ran = 1')()}} ${window.ran = 1}",
    "&lt;script&gt;window.ran = 1&lt;/script&gt;",
    "<link rel=stylesheet href=https://example.org/evil.css><base href=https://example.org/>",
)


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_in_the_source_loads_code(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(FORBIDDEN[what], line)
    ]
    assert found == []


def test_the_patterns_above_find_what_they_are_for() -> None:
    lines = {
        "pickle": "import pickle",
        "torch.load": "torch.load(path)",
        "trust_remote_code": "f(trust_remote_code=True)",
        "code from texts": "eval(text)",
        "weights that are not safetensors": "f(use_safetensors=False)",
    }
    assert all(re.search(pattern, lines[what]) for what, pattern in FORBIDDEN.items())
    assert not re.search(FORBIDDEN["code from texts"], "model.eval()")
    assert len(SOURCES) > 60


def test_the_repository_holds_no_pickle() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("this is no checkout of a repository")
    endings = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib"}
    assert [name for name in tracked if Path(name).suffix in endings] == []


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x")'])
def test_no_exported_cell_is_a_formula(start: str) -> None:
    text = f"{start}1 b"
    column = Column(
        name=f"file:{text}",
        label=text,
        answers=(text,),
        start=np.array([0], dtype=np.int32),
        confidence=np.array([0.5]),
        exact_match=np.array([1.0]),
        f1=np.array([1.0]),
        kind=np.array([0], dtype=np.int8),
    )
    example = Example(text, text, text, text, (Answer(text, 0),))
    rows = list(csv.reader(io.StringIO(as_csv(Table((example,), (column,)), [0]), newline="")))
    cells = [cell for row in rows for cell in row]
    assert sum(text in cell for cell in cells) >= 6
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []


def squad(evil: str) -> bytes:
    passage = f"The river {evil} flows to the sea."
    answers = [{"text": evil, "answer_start": passage.index(evil)}]
    asked = {"id": evil, "question": f"Where {evil} to?", "answers": answers}
    return json.dumps({"data": [{"title": evil, "paragraphs": [{"context": passage, "qas": [asked]}]}]}).encode()


def expect_harmless(page: Page) -> None:
    assert page.evaluate("window.ran") is None
    added = "#answers, #verdict, #status, #errors-note, #errors-table, #errors-detail, #errors-outcomes"
    assert page.locator(added).locator("script, img, iframe, a[href^=javascript], link, base, svg[onload]").count() == 0


@pytest.mark.browser
def test_no_text_in_any_place_runs_or_asks_another_host(open_page: OpenPage, served: str) -> None:
    """As passage, question, article, id, gold answer, file name, predictions and link: in Compare and in the errors."""
    expect.set_options(timeout=60_000)
    page = open_page()
    expect(page.locator(".card mark.predicted").first).to_be_visible()
    everything = " ".join(EVIL)
    page.get_by_role("textbox", name="Passage", exact=True).fill(f"{everything} is in Paris.")
    page.get_by_role("textbox", name="Your question").fill(f"Where is {everything}?")
    page.get_by_role("button", name="Compare answers").click()
    expect(page.locator(".card .passage").first).to_contain_text("<script>window.ran = 1</script>")
    expect(page.locator(".pending")).to_have_count(0)
    expect_harmless(page)

    name = "<img src=x onerror=window.ran=1>.json"
    file = {"name": name, "mimeType": "application/json", "buffer": squad(everything)}
    page.locator("#choose input[type=file]").set_input_files(file)
    expect(page.locator("#status")).to_contain_text("1 question in 1 article")
    expect(page.locator(".card .passage").first).to_contain_text("flows to the sea")
    expect(page.locator(".pending")).to_have_count(0)
    page.get_by_role("combobox", name="Article", exact=True).click()
    page.keyboard.press("Escape")
    expect_harmless(page)

    page.get_by_role("tab", name="Error inspection").click()
    page.locator("#errors-choose input[type=file]").first.set_input_files(file)
    expect(page.locator("#errors-count")).to_have_text("1 of 1 questions")
    predictions = {
        "name": name,
        "mimeType": "application/json",
        "buffer": json.dumps({everything: everything}).encode(),
    }
    page.locator("#errors-choose input[type=file]").nth(1).set_input_files(predictions)
    expect(page.locator(".questions thead")).to_contain_text("onerror")
    page.locator(".questions tbody button").first.click()
    expect(page.locator(".chosen h2")).to_contain_text("<script>")
    page.get_by_label("Text in question, passage or answers").fill(everything)
    expect(page.locator("#errors-count")).to_have_text("1 of 1 questions")
    expect_harmless(page)

    link = "&".join(
        f"{name}={quote(everything)}" for name in ("passage", "question", "backbone", "variants", "tab", "q")
    )
    page.goto(f"{served}?{link}")
    expect(page.locator(".card .passage").first).to_be_visible()
    expect(page.locator(".pending")).to_have_count(0)
    expect_harmless(page)


@pytest.mark.browser
def test_the_page_keeps_nothing_of_its_visitors_in_the_browser(open_page: OpenPage) -> None:
    expect.set_options(timeout=60_000)
    page = open_page()
    expect(page.locator(".card .passage").first).to_have_text(sample()[0].passage)
    page.get_by_role("textbox", name="Passage", exact=True).fill("My own secret passage about Paris.")
    page.get_by_role("textbox", name="Your question").fill("What is secret?")
    page.get_by_role("button", name="Compare answers").click()
    expect(page.locator(".card .passage").first).to_have_text("My own secret passage about Paris.")
    stored = page.evaluate(
        "JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie])"
    )
    assert "secret" not in stored
    assert page.evaluate("indexedDB.databases().then(found => found.length)") == 0
