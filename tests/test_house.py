"""The rules of the house that a test can hold: who imports whom, how large things are, and where they are found."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from importlinter.cli import lint_imports

from tests.conftest import pytest_ignore_collect
from tests.places import README, ROOT

PACKAGE = ROOT / "qa_compare"
MODULES = [
    path for room in ("qa_compare", "train", "benchmarks", "docs") for path in sorted((ROOT / room).rglob("*.py"))
]
MOST_LINES, MOST_OF_A_FUNCTION = 450, 50


def test_imports_run_one_way(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(cache_dir=None, no_cache=True) == 0, capsys.readouterr().out


def test_the_package_has_few_files_at_its_top_and_no_folder_is_crowded() -> None:
    top = list(PACKAGE.glob("*.py"))
    packages = [path.parent for path in PACKAGE.glob("*/__init__.py")]
    assert len(top) <= 4
    assert 1 < len(packages) <= 9
    for folder in {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}:
        files = [path.name for path in folder.iterdir() if path.is_file()]
        assert len(files) <= 14, (folder.name, files)


def test_no_two_modules_have_one_name() -> None:
    names = Counter(path.stem for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    names.update(path.name for path in PACKAGE.rglob("*") if (path / "__init__.py").exists())
    assert [name for name, count in names.items() if count > 1] == []


def test_every_module_and_every_function_is_short() -> None:
    assert len(MODULES) > 60, "modules have moved to where this test does not look"
    long = {}
    for path in MODULES:
        text = path.read_text("utf-8")
        if (lines := len(text.splitlines())) > MOST_LINES:
            long[str(path.relative_to(ROOT))] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and (lines := (node.end_lineno or 0) - body[0].lineno + 1) > MOST_OF_A_FUNCTION:
                    long[f"{path.relative_to(ROOT)}: {node.name}"] = lines
    assert long == {}


def test_one_file_alone_touches_gradios_private_modules() -> None:
    private = re.compile(
        r"gradio\.(utils|context|state_holder|queueing|routes|route_utils|processing_utils|blocks)\b"
        r"|from gradio import .*\b(queueing|routes|utils)\b|gradio_client\.utils|\._queue\b|event\._data"
    )
    found = [path.name for path in PACKAGE.rglob("*.py") if private.search(path.read_text("utf-8"))]
    assert found == ["gradio_internals.py"]


def test_the_readme_names_every_package() -> None:
    picture = README.read_text("utf-8").partition("## How it is built")[2]
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {name for name in packages if f"    {name}/ " not in picture} == set()


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
