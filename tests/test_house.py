"""The house rules that can be held by a test: who imports whom, how long a module is, that the README names each."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from importlinter.cli import lint_imports

from tests.conftest import pytest_ignore_collect
from tests.places import ROOT

MODULES = [
    path for room in ("qa_compare", "train", "benchmarks", "docs") for path in sorted((ROOT / room).rglob("*.py"))
]
MOST_LINES = 450


def test_imports_run_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(cache_dir=None, no_cache=True) == 0, capsys.readouterr().out


def test_every_module_is_short() -> None:
    assert len(MODULES) > 60, "modules have moved to where this test does not look"
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_the_readme_names_every_module_that_there_is_and_no_other() -> None:
    picture = (ROOT / "README.md").read_text("utf-8").partition("## How it is built")[2].split("```")[3]
    named = {word.strip("(),;:") for word in picture.split() if word.strip("(),;:").endswith(".py")}
    page = re.search(r"(\w+)/ is the page, a module a tab", picture)  # the one folder that is named as a whole
    assert page
    modules = {
        path.name
        for path in MODULES
        if path.is_relative_to(ROOT / "qa_compare") and path.parent.name != page[1] and path.name != "__init__.py"
    }
    assert named == modules | {"app.py", "docs/screenshots.py"}


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("pytestmark = pytest.mark.slow\n", True),
        ("pytestmark = [pytest.mark.browser, pytest.mark.slow]\n", True),
        ("pytestmark = [\n    pytest.mark.timeout(9),\n    pytest.mark.slow,\n]\n", True),
        ("pytestmark = pytest.mark.browser\n", False),
        ("@pytest.mark.slow\ndef test_one(): ...\n", False),
    ],
)
def test_a_quick_run_does_not_import_a_module_that_calls_itself_slow(tmp_path: Path, text: str, ignored: bool) -> None:
    path = tmp_path / "test_x.py"
    path.write_text(f"import pytest\n\n{text}", encoding="utf-8")
    for expression, expected in (("not browser and not slow", ignored or None), ("", None)):
        config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
        assert pytest_ignore_collect(path, config) is expected
    assert pytest_ignore_collect(tmp_path, config) is None
