"""Training that is killed, stopped, starved of disk, or told to go on from something else."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from qa_compare.runs.store import read_log
from tests import training_fixture
from tests.patience import until
from tests.places import ROOT
from tests.training_fixture import arguments, read, refused
from train import base, lora, prompt_tuning, record
from train.checkpoints import last_checkpoint
from train.loop import main
from train.trainer import QATrainer

pytestmark = pytest.mark.slow

files, train = training_fixture.files, training_fixture.train


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    """`python -m train.lora` on the tiny files, as a process of its own."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "train.lora", *arguments(folder, "--patience", "999", *more)],
        cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_log(process: subprocess.Popen[str], folder: Path, events: int) -> None:
    """Until a run has logged so many events, or has ended."""
    until(lambda: len(read_log(folder)) >= events or process.poll() is not None, every=0.01)


def kinds(folder: Path) -> list[tuple[int, bool]]:
    """Each event's step, and whether it is an evaluation."""
    return [(event.step, event.eval_loss is not None) for event in read_log(folder)]


def test_a_killed_run_resumes_with_every_step_logged_once_and_ends_as_the_whole_one(train, tmp_path):
    folder, whole = tmp_path / "adapters" / "checkpoint" / "lora", tmp_path / "whole"
    train(lora.METHOD, "--epochs", "8", "--patience", "999", "--output", str(whole))
    with start(tmp_path, "--epochs", "8") as process:
        wait_for_log(process, folder, random.randint(4, len(kinds(whole)) // 3))
        process.kill()
    assert not (folder / "run.json").exists()
    with start(tmp_path, "--epochs", "8", "--resume") as process:
        _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert kinds(folder) == kinds(whole)
    assert len(set(kinds(folder))) == len(kinds(folder))
    last = [next(event.loss for event in reversed(read_log(one)) if event.loss is not None) for one in (folder, whole)]
    assert last[0] == pytest.approx(last[1], rel=0.02)
    assert read(folder / "run.json")["steps"] == read(whole / "run.json")["steps"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_says_how_to_go_on(train, tmp_path, number):
    folder = tmp_path / "adapters" / "checkpoint" / "lora"
    with start(tmp_path, "--epochs", "400") as process:
        wait_for_log(process, folder, 8)
        process.send_signal(number)
        _, errors = process.communicate(timeout=200)
    assert process.returncode == 128 + number, errors
    assert errors.splitlines()[-1] == "train: stopped: the same command with --resume goes on from the last checkpoint"
    assert "Traceback" not in errors
    assert last_checkpoint(tmp_path / "runs" / "checkpoint" / "lora") is not None


def full_after(monkeypatch, function, checkpoint: int, error: Exception) -> None:
    """Make `function` fail for a file of the checkpoint of that step and of later ones, half of it written."""
    module, name = function
    original = getattr(module, name)

    def write(what, path, *more, **options):
        if f"checkpoint-{checkpoint}" in str(path):
            Path(path).write_bytes(b"half")
            raise error
        return original(what, path, *more, **options)

    monkeypatch.setattr(module, name, write)


# a full disk in the words of the system and of torch, and another fault
FAULTS = [
    (OSError(28, "No space left on device"), 10**9, "there is no space left on its disk"),
    (RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"), 100, "there is no space left"),
    (OSError(5, "Input/output error"), 10**9, "Input/output error"),
]


@pytest.mark.parametrize(("error", "free", "reason"), FAULTS)
def test_a_full_disk_stops_with_a_sentence_and_leaves_the_last_good_checkpoint(
    train, tmp_path, capsys, monkeypatch, error, free, reason
):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    full_after(monkeypatch, (torch, "save"), 3, error)
    line = refused(capsys, train, lora.METHOD)
    assert "checkpoint-3 cannot be written" in line
    assert reason in line
    assert "with --resume" in line
    folder = tmp_path / "runs" / "checkpoint" / "lora"
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-1", "checkpoint-2"]
    assert last_checkpoint(folder) == folder / "checkpoint-2"
    monkeypatch.undo()
    assert (train(lora.METHOD, "--resume") / "run.json").is_file()


def test_a_full_disk_at_the_end_leaves_no_half_variant_and_the_end_is_done_again(train, tmp_path, capsys, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record, "_write_weights", refuse)
    assert "there is no space left on its disk" in refused(capsys, train, lora.METHOD)
    folder = tmp_path / "adapters" / "checkpoint" / "lora"
    assert [path.name for path in folder.iterdir()] == ["log.jsonl"]
    monkeypatch.undo()
    logged = kinds(folder)
    assert train(lora.METHOD, "--resume") == folder
    assert kinds(folder) == logged
    assert (folder / "adapter_model.safetensors").is_file()


def test_a_loss_that_becomes_no_number_leaves_the_checkpoints_from_before(train, tmp_path, capsys, monkeypatch):
    original = QATrainer.compute_loss

    def compute_loss(self, model, inputs, *args, **kwargs):
        found = original(self, model, inputs, *args, **kwargs)
        if model.training and self.state.global_step >= 3:
            return found * torch.nan
        return found

    monkeypatch.setattr(QATrainer, "compute_loss", compute_loss)
    line = refused(capsys, train, lora.METHOD)
    assert "the loss is not a number at step 4: lower --learning-rate" in line
    newest = last_checkpoint(tmp_path / "runs" / "checkpoint" / "lora")
    assert newest is not None
    assert newest.name == "checkpoint-3"


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        (prompt_tuning.METHOD, (), "was made by lora: prompt-tuning cannot continue it"),
        (base.head(), (), "was made by lora: head cannot continue it"),
        (lora.METHOD, ("--rank", "4"), "is of another shape than these options make: "),
        (lora.METHOD, ("--targets", "query"), "is of another shape than these options make: "),
        (lora.METHOD, ("--alpha", "8"), "its --alpha is 32, not 8"),
    ],
)
def test_a_run_goes_on_only_from_what_its_options_make(train, tmp_path, capsys, method, options, sentence):
    first = train(lora.METHOD, "--epochs", "1")
    elsewhere = tmp_path / "adapters" / "checkpoint" / "more"
    line = refused(capsys, train, method, "--init-from", str(first), "--output", str(elsewhere), *options)
    assert sentence in line
    assert not elsewhere.exists()


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        (lora.METHOD, ("--device", "cuda"), "--device cuda: PyTorch finds no CUDA device here"),
        (lora.METHOD, ("--targets", "query,valeu"), "--targets: the encoder has no matrix named 'valeu'"),
        (lora.METHOD, ("--pad-to", "8"), "--pad-to 8: it must lie between 384 and 512"),
        (prompt_tuning.METHOD, ("--pad-to", "500"), "--pad-to 500: it must lie between 384 and 492"),
        (prompt_tuning.METHOD, ("--virtual-tokens", "129"), "--virtual-tokens 129: the encoder has room for 128"),
    ],
)
def test_what_would_fail_in_the_middle_of_a_run_is_refused_before_it(
    train, tmp_path, capsys, monkeypatch, method, options, sentence
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert sentence in refused(capsys, train, method, *options)
    assert not (tmp_path / "adapters").exists()


@pytest.mark.parametrize(
    "option",
    [
        "--epochs=0", "--epochs=nan", "--learning-rate=-1", "--head-learning-rate=inf", "--warmup=2",
        "--weight-decay=-1", "--dropout=1.5", "--encoder-dropout=2", "--seed=-1",
    ],
)  # fmt: skip
def test_a_number_that_an_option_cannot_take_is_refused(capsys, option):
    name, _, value = option.partition("=")
    with pytest.raises(SystemExit, match="2"):
        main(lora.METHOD, [option])
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"argument {name}: {value} is not " in line


def test_targets_may_be_parted_by_a_comma_and_a_space():
    assert lora.configure({**lora.DEFAULTS, "targets": "query, value"}).target_modules == {"query", "value"}


def test_without_training_files_and_without_the_hub_one_line_says_what_to_give(tmp_path, train, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = ["--backbone", str(tmp_path / "checkpoint"), "--adapters", str(tmp_path / "adapters")]
    line = refused(capsys, main, lora.METHOD, options)
    assert "SQuAD (train) is not on this machine" in line
    assert line.endswith("give a SQuAD JSON file instead, with --train-file")


def test_the_same_seed_data_and_threads_give_the_same_losses_and_another_seed_others(train, tmp_path):
    def losses(name: str, *more: str) -> list[float]:
        train(lora.METHOD, "--epochs", "7", "--patience", "99", "--answers", "sampled", "--dropout", "0.1",
              "--evaluations-per-epoch", "1", "--output", str(tmp_path / name), *more)  # fmt: skip
        return [event.loss for event in read_log(tmp_path / name) if event.loss is not None][:20]

    first = losses("first")
    assert len(first) == 20
    assert losses("second") == first
    assert losses("third", "--seed", "1") != first
