"""Processes killed at random moments of their work: what they had written is whole or passed over, and the next one
ends as if nothing had been. QA_COMPARE_KILLS is how many are killed in all, spread over a training, an evaluation and
two batches (make soak: 25).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import Client, handle_file
from safetensors.torch import load_file

from qa_compare.__main__ import main
from qa_compare.data.examples import Example, to_squad
from qa_compare.files import synced, write_json
from qa_compare.runs.store import read_metrics, read_predictions
from tests import tiny
from tests.commands import ENVIRONMENT, evaluation, module
from tests.patience import until
from tests.places import ROOT
from tests.served_app import app, house
from tests.training_fixture import arguments
from train import lora, record
from train.loop import main as train

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("QA_COMPARE_KILLS", "4"))
WORKS = ("a training", "an evaluation", "a batch of the page", "a batch of the command")


def kills(work: str, total: int = KILLS) -> range:
    """That work's share of all kills; the first get one more where they do not come out even."""
    share, rest = divmod(total, len(WORKS))
    return range(share + (WORKS.index(work) < rest))


def kill_within(command: list[str], begun: Callable[[], bool], seconds: float) -> bool:
    """Run a command, and kill it at a random moment of some seconds after `begun()`. Whether it was still running."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, **quiet) as process:
        until(lambda: begun() or process.poll() is not None, every=0.01)
        with suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0, seconds))
        running = process.poll() is None
        process.kill()
    return running


def expect_whole(folder: Path) -> None:
    """Every file that goes by its own name can be read to its end; what was being written has a dot before its name."""
    for path in folder.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.suffix == ".safetensors":
            assert load_file(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".parquet":
            assert read_predictions(path.parent)


def test_an_evaluation_ends_as_the_whole_one(tmp_path: Path) -> None:
    house(tmp_path)
    write_json(tmp_path / "questions.json", to_squad(tiny.examples(1_500)))
    folder = tmp_path / "adapters" / "river-bert" / "lora"
    begin = time.monotonic()
    assert main(evaluation(tmp_path, "--save")) == 0
    spent = time.monotonic() - begin
    whole = read_metrics(folder), read_predictions(folder)
    for name in ("metrics.json", "predictions.parquet", "README.md"):
        (folder / name).unlink()
    for _ in kills("an evaluation"):
        partial = tmp_path / "runs" / "evaluate"
        command = module("qa_compare", *evaluation(tmp_path, "--save"))
        kill_within(command, lambda found=partial: bool(list(found.glob("*/*.jsonl"))), spent)
        expect_whole(tmp_path / "adapters")
    assert main(evaluation(tmp_path, "--save")) == 0
    found = read_metrics(folder), read_predictions(folder)
    assert whole[0]
    assert whole[1]
    assert found[0]
    assert found[1]
    assert (found[0].f1, found[0].exact_match) == (whole[0].f1, whole[0].exact_match)
    assert found[1].start.tolist() == whole[1].start.tolist()
    np.testing.assert_allclose(found[1].confidence, whole[1].confidence, atol=1e-5)
    assert list((tmp_path / "runs" / "evaluate").iterdir()) == []


def test_a_training_is_resumed_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.examples(16)
    write_json(tmp_path / "train.json", to_squad(made[:12]))
    write_json(tmp_path / "validation.json", to_squad(made[12:]))
    tiny.checkpoint(tmp_path / "checkpoint")
    command = arguments(tmp_path, "--epochs", "6", "--patience", "999")
    on_disk: list[str] = []
    monkeypatch.setattr(record, "synced", lambda path: on_disk.append(path.name) or synced(path))
    begin = time.monotonic()
    train(lora.METHOD, [*command, "--output", str(tmp_path / "whole")])
    assert sorted(on_disk) == ["adapter_config.json", "adapter_model.safetensors"]
    spent = time.monotonic() - begin
    folder = tmp_path / "adapters" / "checkpoint" / "lora"
    for _ in kills("a training"):
        log = folder / "log.jsonl"
        before = log.stat().st_mtime if log.exists() else 0.0
        again = module("train.lora", *command, *(["--resume"] if before else []))
        kill_within(again, lambda log=log, before=before: log.exists() and log.stat().st_mtime > before, spent)
        expect_whole(tmp_path / "adapters")
        if (folder / "run.json").exists():
            break
    if not (folder / "run.json").exists():
        train(lora.METHOD, [*command, "--resume"])
    steps = [json.loads((one / "run.json").read_text())["steps"] for one in (folder, tmp_path / "whole")]
    assert steps[0] == steps[1]
    expect_whole(tmp_path / "adapters")


def test_a_batch_of_the_command_leaves_the_old_answers_or_the_new(tmp_path: Path) -> None:
    house(tmp_path)
    write_json(tmp_path / "questions.json", to_squad(tiny.examples(1_500)))
    output = tmp_path / "out" / "answers.json"
    output.parent.mkdir()
    command = ["predict", str(tmp_path / "questions.json"), "--variant", "lora", "--output", str(output)]
    command += ["--backbone", str(tmp_path / "river-bert"), "--adapters", str(tmp_path / "adapters")]
    begin = time.monotonic()
    assert main(command) == 0
    spent, whole = time.monotonic() - begin, json.loads(output.read_text())
    for _ in kills("a batch of the command"):
        write_json(output, {"old": "answer"})
        # nothing on the disk tells when it begins, and importing takes some seconds
        begun = time.monotonic() + 3
        kill_within(module("qa_compare", *command), lambda at=begun: time.monotonic() > at, 3 + spent)
        assert json.loads(output.read_text()) in ({"old": "answer"}, whole)
    assert main(command) == 0
    assert json.loads(output.read_text()) == whole


def ask(url: str, questions: Path) -> Any:
    found = Client(url, verbose=False).predict(file=handle_file(questions), api_name="/predict_batch")
    return [{name: one["answer"] for name, one in row["variants"].items()} for row in found["predictions"]]


def written(path: Path, examples: list[Example]) -> Path:
    write_json(path, to_squad(examples))
    return path


def test_a_page_in_the_middle_of_a_batch_starts_anew_as_if_nothing_had_been(tmp_path: Path) -> None:
    """The upload that the killed page could not remove is nobody's, and goes."""
    house(tmp_path)
    uploads = tmp_path / "uploads" / "qa-compare"
    options: dict[str, Any] = {"GRADIO_TEMP_DIR": str(tmp_path / "uploads")}
    made = tiny.examples(1_000)
    first, other = written(tmp_path / "first.json", made[:500]), written(tmp_path / "other.json", made[500:])
    whole: Any = None
    for _ in kills("a batch of the page"):
        with app(tmp_path, tmp_path / "log", **options) as page:
            begin = time.monotonic()
            found = ask(page.url, first)
            spent = time.monotonic() - begin
            assert whole in (None, found)
            whole = found
            asking = threading.Thread(target=lambda url=page.url: _unanswered(url, other), daemon=True)
            asking.start()
            until(lambda: list(uploads.glob("*/other.json")), every=0.01)
            time.sleep(random.uniform(0, spent))
            page.kill()
            asking.join(60)
        left = [path.parent for path in uploads.glob("*/other.json")]
        assert left  # or there would be nothing to see to
        for folder in left:
            os.utime(folder, (time.time() - 7_200,) * 2)
    expect_whole(tmp_path / "adapters")
    with app(tmp_path, tmp_path / "log", **options) as page:
        assert page.health()["state"] == "ok"
        assert whole in (None, ask(page.url, first))
        until(lambda: not list(uploads.glob("*/other.json")), "the upload that nobody asks for is still there")


def _unanswered(url: str, questions: Path) -> None:
    with suppress(Exception):  # whatever a client says when its server is gone
        ask(url, questions)


def test_the_kills_are_shared_out() -> None:
    assert [len(kills(work, 25)) for work in WORKS] == [7, 6, 6, 6]
