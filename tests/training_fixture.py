"""Runs a training command on a tiny model. A test module takes the fixtures with `files, train = …` of this module."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qa_compare.data.examples import to_squad
from qa_compare.files import write_json
from tests import tiny
from train.loop import Method, main

Train = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Twelve training and four validation questions."""
    examples = tiny.examples(16)
    write_json(tmp_path / "train.json", to_squad(examples[:12]))
    write_json(tmp_path / "validation.json", to_squad(examples[12:]))
    return tmp_path / "train.json", tmp_path / "validation.json"


def arguments(folder: Path, *more: str) -> list[str]:
    """The options of a run in `folder`; `more` wins."""
    found = ["--backbone", str(folder / "checkpoint"), "--adapters", str(folder / "adapters")]
    found += ["--runs", str(folder / "runs"), "--batch-size", "4", "--precision", "fp32", "--device", "cpu"]
    if "--train-file" not in more:
        found += ["--train-file", str(folder / "train.json"), "--validation-file", str(folder / "validation.json")]
    if "--epochs" not in more:
        found += ["--epochs", "2"]
    return [*found, *more]


@pytest.fixture
def train(tmp_path: Path, files: tuple[Path, Path]) -> Train:
    """Runs a method on the tiny files; returns the variant's folder."""
    tiny.checkpoint(tmp_path / "checkpoint")

    def run(method: Method, *more: str) -> Path:
        main(method, arguments(tmp_path, *more))
        return tmp_path / "adapters" / "checkpoint" / method.name

    return run


def refused(capsys: pytest.CaptureFixture[str], train: Train, *arguments: object) -> str:
    """What a refused command says: one line on standard error, status 2."""
    with pytest.raises(SystemExit) as stopped:
        train(*arguments)
    assert stopped.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("train: error: ")
    return line


def read(path: Path) -> dict:
    return json.loads(path.read_text())
