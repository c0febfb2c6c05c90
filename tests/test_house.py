"""Which module may import which, as `[tool.importlinter]` in pyproject.toml has it."""

from __future__ import annotations

from pathlib import Path

from importlinter.cli import lint_imports


def test_imports_run_one_way(monkeypatch, capsys):
    monkeypatch.chdir(Path(__file__).parent.parent)
    assert lint_imports(cache_dir=None, no_cache=True) == 0, capsys.readouterr().out
