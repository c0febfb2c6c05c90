"""The queue of long trainings, with a program in Python's place that only notes what it is asked."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.patience import LONG, until
from tests.places import ROOT

pytestmark = pytest.mark.slow

QUEUE = ROOT / "train" / "queue.sh"
ORDER = [
    "train.base", "train.lora", "train.prompt_tuning", "train.base", "train.base", "train.lora", "train.prompt_tuning",
    "train.ablation", "train.sample_efficiency", "train.full", "train.ia3", "train.prefix_tuning",
]  # fmt: skip


@pytest.fixture
def queue(tmp_path: Path):
    """Starts the queue on a data folder with a space in its name."""
    (tmp_path / "my data").mkdir()
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/asked"\n[ ! -e "{tmp_path}/slow" ] || exec sleep 600\n'
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


def test_the_stages_run_in_order_each_with_the_test_set_kept_out_and_resumable(queue, tmp_path):
    with queue() as process:
        assert process.wait(LONG) == 0
    lines = asked(tmp_path)
    assert [line.split()[1] for line in lines] == ORDER
    test_set = f"--keep-out {tmp_path}/my data/squad/dev-v1.1.json --drop-overlap"
    assert all(test_set in line for line in lines)
    assert all("--resume" in line for line in lines if "ablation" not in line and "efficiency" not in line)
    assert len(list((tmp_path / "runs" / "logs").iterdir())) == len(ORDER)


def test_what_is_finished_is_skipped_and_named_stages_are_run_alone(queue, tmp_path):
    done = tmp_path / "adapters" / "minilm-l6-qa" / "base"
    done.mkdir(parents=True)
    (done / "run.json").write_text("{}")
    with queue("minilm-l6-qa-base", "minilm-l6-qa-ia3") as process:
        output, _ = process.communicate(timeout=LONG)
    assert "minilm-l6-qa-base is finished" in output
    assert [line.split()[1] for line in asked(tmp_path)] == ["train.ia3"]


def test_a_stage_that_fails_is_named_with_its_last_line_and_the_others_run(queue, tmp_path):
    (tmp_path / "broken").touch()
    with queue() as process:
        output, _ = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert "minilm-l6-qa-lora ended with status 2: train: error: broken" in output
    assert len(asked(tmp_path)) == len(ORDER)


def test_one_training_at_a_time_and_a_stopped_queue_stops_its_training(queue, tmp_path):
    (tmp_path / "slow").touch()
    with queue() as process:
        until(lambda: asked(tmp_path), every=0.01)
        with queue() as second:
            output, _ = second.communicate(timeout=LONG)
        assert second.returncode == 1
        assert "another one, or its training, is running" in output
        process.send_signal(signal.SIGTERM)
        assert process.wait(LONG) == 143
    assert len(asked(tmp_path)) == 1
    (tmp_path / "slow").unlink()
    with queue() as third:  # nothing holds the lock any more
        assert third.wait(LONG) == 0
