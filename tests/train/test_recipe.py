"""Recipes of trainings, and the queue that runs them: a program in Python's place notes what it is asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qa_compare.errors import UserError
from tests.patience import LONG, until
from tests.places import ROOT
from train import ablation, base, full, ia3, lora, options, prefix_tuning, prompt_tuning, recipe, sample_efficiency

pytestmark = pytest.mark.slow

QUEUE = ROOT / "train" / "queue.sh"
METHODS = {
    "base": base.LORA,
    "lora": lora.METHOD,
    "prompt_tuning": prompt_tuning.METHOD,
    "prefix_tuning": prefix_tuning.METHOD,
    "ia3": ia3.METHOD,
    "full": full.METHOD,
}
EXPERIMENTS = {"ablation": ablation, "sample_efficiency": sample_efficiency}


def parsed(name: str, arguments: list[str]) -> None:
    """Let the command's own parser read the arguments; it exits where one is unknown."""
    command = recipe.read(name)["command"]
    parser = recipe.argparse.ArgumentParser(argument_default=recipe.argparse.SUPPRESS)
    if command in EXPERIMENTS:
        options.add_arguments(parser)
        parser.add_argument("--questions", type=int)
        parser.parse_args(arguments)
        return
    METHODS[command].add_options(parser)
    options.parse(parser, METHODS[command].defaults, [one for one in arguments if one != "--head-only"])


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_holds_options_that_its_command_knows_and_keeps_the_test_set_out(name):
    arguments = recipe.arguments(recipe.read(name), Path("data"), Path("adapters"))
    parsed(name, arguments)
    assert "--drop-overlap" in arguments
    assert arguments[arguments.index("--keep-out") + 1] == str(Path("data/squad/dev-v1.1.json"))


def test_lists_flags_and_folders_become_arguments():
    given = {"command": "lora", "train-file": ["a.json", "b.json"], "init-from": "m/base", "drop-overlap": True}
    words = recipe.arguments({**given, "head-only": False, "epochs": 1.5}, Path("data"), Path("runs/next"))
    expected = "--train-file data/a.json --train-file data/b.json --init-from runs/next/m/base --drop-overlap"
    assert words == [*expected.split(), "--epochs", "1.5"]


def test_an_unknown_recipe_is_refused_with_the_names_there_are():
    with pytest.raises(UserError, match=r"there is no recipe 'minilm-l6/nothing': choose one of minilm-l6-qa/base"):
        recipe.read("minilm-l6/nothing")


@pytest.mark.parametrize("text", ["command = 'rm'", "epochs = 2", "not toml"])
def test_a_recipe_that_is_no_recipe_is_refused_with_its_file(text, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "lora.toml").write_text(text)
    monkeypatch.setattr(recipe, "RECIPES", tmp_path)
    with pytest.raises(UserError, match=r"mine.lora\.toml"):
        recipe.read("mine/lora")


def test_the_command_is_printed_and_run_with_the_options_that_follow_last(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(recipe.runpy, "run_module", lambda module, run_name: ran.append((module, sys.argv[1:])))
    monkeypatch.setattr(sys, "argv", ["recipe"])
    recipe.main(["minilm-l6-qa/lora", "--data", "data", "--epochs", "1"])
    [(module, words)] = ran
    assert module == "train.lora"
    assert words[-4:] == ["--recipe", "minilm-l6-qa/lora", "--epochs", "1"]
    assert capsys.readouterr().err.startswith("python -m train.lora --backbone minilm-l6-qa --train-file data/")


def test_without_a_name_the_recipes_are_listed_in_the_queues_order(capsys):
    recipe.main([])
    listed = capsys.readouterr().out.split()
    assert listed[:2] == ["minilm-l6-qa/base", "minilm-l6-qa/lora"]
    assert sorted(listed) == sorted(recipe.names())


@pytest.fixture
def queue(tmp_path: Path):
    """Starts the queue on a data folder with a space in its name."""
    (tmp_path / "my data").mkdir()
    (tmp_path / "names").write_text("\n".join(recipe.names()) + "\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\n[ $# -gt 2 ] || {{ cat "{tmp_path}/names"; exit; }}\n'
                      f'echo "$@" >>"{tmp_path}/asked"\n'
                      f'[ ! -e "{tmp_path}/slow" ] || exec sleep 600\n'
                      f'[ ! -e "{tmp_path}/broken" ] || {{ echo "train: error: broken" >&2; exit 2; }}\n')  # fmt: skip
    python.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(python), "ADAPTERS": str(tmp_path / "adapters"),
                   "RUNS": str(tmp_path / "runs")}  # fmt: skip

    def start(*stages: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(QUEUE), str(tmp_path / "my data"), *stages],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    return start


def asked(tmp_path: Path) -> list[str]:
    """What the program in Python's place was called with."""
    path = tmp_path / "asked"
    return path.read_text().splitlines() if path.is_file() else []


def test_the_queue_runs_every_recipe_in_order_and_resumable(queue, tmp_path):
    with queue() as process:
        assert process.wait(LONG) == 0
    lines = asked(tmp_path)
    assert [line.split()[2] for line in lines] == recipe.names()
    assert all(f"--data {tmp_path}/my data" in line and line.endswith("--resume") for line in lines)
    assert len(list((tmp_path / "runs" / "logs").iterdir())) == len(lines)


def test_the_queue_skips_what_is_finished_and_runs_named_recipes_alone(queue, tmp_path):
    done = tmp_path / "adapters" / "minilm-l6-qa" / "base"
    done.mkdir(parents=True)
    (done / "run.json").write_text("{}")
    with queue("minilm-l6-qa/base", "minilm-l6-qa/ia3") as process:
        output, _ = process.communicate(timeout=LONG)
    assert "minilm-l6-qa/base is finished" in output
    assert [line.split()[2] for line in asked(tmp_path)] == ["minilm-l6-qa/ia3"]


def test_the_queue_names_a_training_that_fails_with_its_last_line_and_runs_the_others(queue, tmp_path):
    (tmp_path / "broken").touch()
    with queue() as process:
        output, _ = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert "minilm-l6-qa/lora ended with status 2: train: error: broken" in output
    assert len(asked(tmp_path)) == len(recipe.names())


def test_one_training_runs_at_a_time_and_a_stopped_queue_stops_its_training(queue, tmp_path):
    (tmp_path / "slow").touch()
    with queue() as process:
        until(lambda: asked(tmp_path), every=0.01)
        with queue() as second:
            output, _ = second.communicate(timeout=LONG)
        assert second.returncode == 1
        assert "another queue, or its training, is running" in output
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 143
    assert len(asked(tmp_path)) == 1
    (tmp_path / "slow").unlink()
    with queue() as third:  # nothing holds the lock any more
        assert third.wait(LONG) == 0
