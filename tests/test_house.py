"""The house rules that can be held by a test: who imports whom, how long a module is, that the README names each."""

from __future__ import annotations

from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parent.parent
MODULES = [
    path for room in ("qa_compare", "train", "benchmarks", "docs") for path in sorted((ROOT / room).rglob("*.py"))
]
MOST_LINES = 450


def test_imports_run_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(cache_dir=None, no_cache=True) == 0, capsys.readouterr().out


def test_every_module_is_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_the_readme_names_every_module_that_there_is_and_no_other() -> None:
    picture = (ROOT / "README.md").read_text("utf-8").partition("## How it is built")[2].split("```")[3]
    named = {word.strip("(),;:") for word in picture.split() if word.strip("(),;:").endswith(".py")}
    modules = {path.name for path in (ROOT / "qa_compare").glob("*.py")} - {"__init__.py"}
    assert named == modules | {"app.py", "docs/screenshots.py"}
