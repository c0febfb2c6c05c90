"""What nobody may get out of or into the page: no code is loaded, no text becomes markup, no cell becomes a formula."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from qa_compare.data.examples import Answer, Example
from qa_compare.data.readers import Problem
from qa_compare.data.sources import sample
from qa_compare.files import write_json
from qa_compare.inference.comparison import Comparison, VariantAnswer
from qa_compare.inference.decoding import Candidate, Overlong, Prediction
from qa_compare.inference.engine import Engine
from qa_compare.runs import overview as metrics_table
from qa_compare.runs.overview import Measured, Overview
from qa_compare.runs.records import Dataset
from qa_compare.runs.store import write_metrics
from qa_compare.server.serving import Settings, serve
from qa_compare.workbench import exports as batch_export
from qa_compare.workbench import session
from qa_compare.workbench.batch import Result
from qa_compare.workbench.exports import rows_as_csv
from qa_compare.workbench.service import Service
from qa_compare.workbench.session import Run
from qa_compare.workbench.table import Column, Table
from tests import measured, shown
from tests.conftest import HOST, OpenPage, free_port
from tests.places import ROOT

pytestmark = pytest.mark.slow

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


STARTS = ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x")']


def exports(text: str) -> dict[str, str]:
    """Every CSV that a visitor can take home, of data in which each text is that one."""
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
    named = replace(column, name=text)
    example = Example(text, text, text, text, (Answer(text, 0),))
    answer = VariantAnswer(
        text, text, Prediction(text, (Candidate(text, 0, len(text), 1.0, 0.5),), 0.0, 1), problem=text
    )
    run = Run(1, text, text, "", text, Comparison(text, text, (answer,)), (Answer(text, 0),), False, text)
    part = {"kind": "article", "name": text, "questions": 3, "exact_match": 50.0, "f1": 66.6}
    scores = measured.metrics(dataset=Dataset(text, "f" * 64, 3), slices=(part,))
    overview = Overview(text, Path(text), (Measured(text, text, Path(text), scores, None, None),), None, None, ())
    return {
        "the error inspection": rows_as_csv(Table((example,), (column,)), [0]),
        "the batch": batch_export.csv_file(Result(Table((example,), (named,)), 1, (), Overlong(frozenset()))).decode(
            "utf-8-sig"
        ),
        "what a batch cannot use": batch_export.problems_csv([Problem(text, text)]),
        "the history": session.as_csv([run]),
        "the scores": metrics_table.scores_csv(overview),
        "the slices": metrics_table.slices_csv(overview),
    }


@pytest.mark.parametrize("start", STARTS)
def test_no_cell_of_any_export_is_a_formula(start: str) -> None:
    text = f"{start}1 b"
    for what, written in exports(text).items():
        cells = [cell for row in csv.reader(io.StringIO(written, newline="")) for cell in row]
        assert sum(text in cell for cell in cells) >= 2, what
        assert [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n＝＋－＠"))] == [], what


def test_every_csv_of_the_page_is_among_them() -> None:
    """Whoever writes another one has to add it there."""
    makers = {
        f"{path.stem}.{name}"
        for path in (ROOT / "qa_compare").rglob("*.py")
        for name in re.findall(r"^def (\w*csv\w*)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    private = {"overview._csv_row", "readers._read_csv", "tables.csv_text"}
    assert makers - private == {
        "exports.rows_as_csv", "exports.csv_file", "exports.problems_csv", "session.as_csv",
        "overview.scores_csv", "overview.slices_csv",
    }  # fmt: skip


def squad(evil: str) -> bytes:
    passage = f"The river {evil} flows to the sea."
    answers = [{"text": evil, "answer_start": passage.index(evil)}]
    asked = {"id": evil, "question": f"Where {evil} to?", "answers": answers}
    return json.dumps({"data": [{"title": evil, "paragraphs": [{"context": passage, "qas": [asked]}]}]}).encode()


EVERYTHING = " ".join(EVIL)
IMAGE = "<img src=x onerror=window.ran=1>"  # the longest that a file's or a folder's name can be, and still runs
# elements that a text of ours has become: handlers, addresses and frames that this page has none of
BECOME = """() => [...document.querySelectorAll('*')].filter(element =>
    [...element.attributes].some(({name, value}) => name === 'srcdoc'
        || (name.startsWith('on') && value.includes('window.ran'))
        || (/^(xlink:)?(href|src)$/.test(name) && /^\\s*javascript:|^x$|example\\.org/i.test(value)))
).map(element => element.outerHTML.slice(0, 300))"""


def expect_harmless(page: Page) -> None:
    assert page.evaluate("window.ran") is None
    assert page.evaluate(BECOME) == []


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters whose every text is script: labels, names of data and slices, settings of runs, and what is wrong."""
    adapters = tmp_path_factory.mktemp("hostile")
    for seed, name in enumerate(shown.F1):
        measured.variant(adapters, name, seed=seed)
    root = shown.write_all(adapters)
    parts = tuple({"kind": "article", "name": one, "questions": 9, "exact_match": 50.0, "f1": 66.6} for one in EVIL)
    for number, (name, f1) in enumerate(shown.F1.items()):
        described = json.loads((root / name / "variant.json").read_text())
        write_json(
            root / name / "variant.json", {**described, "label": EVIL[number] + EVERYTHING, "method": EVERYTHING}
        )
        data = Dataset(EVERYTHING, "f" * 64, shown.QUESTIONS)
        write_metrics(root / name / "metrics.json", shown.metrics(f1, dataset=data, slices=parts))
        shown.write_run(
            root / name, hyperparameters={EVERYTHING: name + EVERYTHING}, stopped=EVERYTHING, device=EVIL[0]
        )
    (root / IMAGE).mkdir()
    broken = {**described, "virtual_positions": EVIL[1]}
    write_json(root / IMAGE / "variant.json", broken)
    (root / f"{IMAGE}2").mkdir()
    (root / f"{IMAGE}2" / "variant.json").write_text("{")
    return adapters


@pytest.fixture(scope="module")
def served(hostile: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page over those adapters."""
    weights = tmp_path_factory.mktemp("weights")
    measured.backbone(weights)
    engine = Engine(str(weights / "river-bert"), adapters=hostile, precision="fp32")
    assert engine.located
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        service = Service({"river-bert": engine}, "river-bert")
        page = serve(service, host=HOST, port=free_port(), chosen=Settings(), wait=False)
        yield page.local_url
        page.close(verbose=False)


def brought(name: str, content: bytes) -> Any:
    return {"name": name, "mimeType": "application/json", "buffer": content}


@pytest.mark.browser
def test_no_text_in_any_place_runs_or_asks_another_host(open_page: OpenPage) -> None:
    """As passage, question, article, id, gold answer, file name and predictions, as a variant's label, and in what was
    measured of it: on every tab."""
    expect.set_options(timeout=60_000)
    page = open_page()
    expect(page.locator(".card mark.predicted").first).to_be_visible()
    expect(page.locator(".card").first).to_contain_text("<script>window.ran = 1</script>")  # its label
    page.get_by_role("textbox", name="Passage", exact=True).fill(f"{EVERYTHING} is in Paris.")
    page.get_by_role("textbox", name="Your question").fill(f"Where is {EVERYTHING}?")
    page.get_by_role("button", name="Compare answers").click()
    expect(page.locator(".card .passage").first).to_contain_text("<script>window.ran = 1</script>")
    expect(page.locator(".pending")).to_have_count(0)
    page.locator("#tools .label-wrap").filter(has_text="History").click()
    expect(page.locator(".runs tbody tr").first).to_contain_text("<script>")
    expect_harmless(page)

    page.locator("#choose input[type=file]").set_input_files(brought(f"{IMAGE}.json", squad(EVERYTHING)))
    expect(page.locator("#status")).to_contain_text("1 question in 1 article")
    expect(page.locator(".card .passage").first).to_contain_text("flows to the sea")
    expect(page.locator(".pending")).to_have_count(0)
    page.get_by_role("combobox", name="Article", exact=True).click()
    page.keyboard.press("Escape")
    page.locator("#choose input[type=file]").set_input_files(brought(f"{IMAGE}.json", EVERYTHING.encode()))
    expect(page.locator("#status [role=alert]")).to_contain_text("onerror")
    expect_harmless(page)

    page.get_by_role("tab", name="Metrics").click()
    expect(page.locator("#scores tbody")).to_contain_text("<script>")
    page.get_by_text("article", exact=True).click()
    expect(page.locator("#slices tbody")).to_contain_text("<iframe")
    expect(page.locator("#pairs li").first).to_contain_text("<script>")
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect_harmless(page)
    page.get_by_role("tab", name="Training curves").click()
    expect(page.locator("#curve-figures .js-plotly-plot .main-svg").first).to_be_visible()
    expect_harmless(page)

    page.get_by_role("tab", name="Error inspection").click()
    page.locator("#errors-choose input[type=file]").first.set_input_files(brought(f"{IMAGE}.json", squad(EVERYTHING)))
    expect(page.locator("#errors-count")).to_have_text("1 of 1 questions")
    answers = json.dumps({EVERYTHING: EVERYTHING}).encode()
    page.locator("#errors-choose input[type=file]").nth(1).set_input_files(brought(f"{IMAGE}.json", answers))
    expect(page.locator("#errors-table .questions thead")).to_contain_text("onerror")
    page.locator("#errors-table .questions tbody button").first.click()
    expect(page.locator(".chosen h2").first).to_contain_text("<script>")
    page.get_by_label("Text in question, passage or answers").fill(EVERYTHING)
    expect(page.locator("#errors-count")).to_have_text("1 of 1 questions")
    expect_harmless(page)

    page.get_by_role("tab", name="Batch", exact=True).click()
    rows = json.loads(squad(EVERYTHING))
    rows["data"][0]["paragraphs"][0]["qas"] *= 2  # the second has an id that was there
    page.locator("#batch-choose input[type=file]").set_input_files(brought(f"{IMAGE}.json", json.dumps(rows).encode()))
    expect(page.locator(".problems tbody tr")).to_have_count(1)
    page.get_by_role("checkbox", name="Leave these rows out").check()
    page.locator("#batch-buttons").get_by_role("button", name="Run").click()
    expect(page.locator("#batch-state")).to_contain_text("Done in")
    page.locator("#batch-answers tbody button").first.click()
    expect(page.locator("#batch-question")).to_contain_text("<script>")
    expect_harmless(page)


@pytest.mark.browser
@pytest.mark.parametrize(
    ("query", "says"),
    [
        (urlencode({"passage": EVERYTHING, "question": EVERYTHING, "variants": f"base,{IMAGE},{IMAGE}2"}), ""),
        (
            "&".join(f"{name}={quote(EVERYTHING)}" for name in ("source", "id", "backbone", "variants", "tab", "q")),
            "link",
        ),
        (f"source=sample&id={quote(EVERYTHING)}", "link"),
    ],
    ids=["broken variants", "everything", "an id"],
)
def test_no_text_of_a_link_runs_nor_what_is_wrong_with_a_variant(open_page: OpenPage, query: str, says: str) -> None:
    expect.set_options(timeout=60_000)
    page = open_page(query=query)
    expect(page.locator(".card .passage").first).to_be_visible()
    expect(page.locator(".pending")).to_have_count(0)
    if says:
        expect(page.locator("#status [role=alert]")).to_contain_text("This link cannot be opened")
        expect(page.locator("#status [role=alert]")).to_contain_text("<")
    else:
        expect(page.locator(".card").nth(1)).to_contain_text("onerror=window.ran=1>/variant.json: unknown")
        expect(page.locator(".card").nth(2)).to_contain_text("is not JSON")
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
    assert page.context.cookies() == []
    assert page.context.storage_state()["origins"] == []
    for store in ("localStorage", "sessionStorage"):
        assert page.evaluate(f"Object.entries({store})") == []
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("indexedDB.databases().then(found => found.length)") == 0
    assert page.evaluate("caches.keys().then(found => found.length)") == 0
