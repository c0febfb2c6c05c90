"""The project's commands as processes of their own, on the tiny house of `tests/served_app.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.places import ROOT

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def evaluation(folder: Path, *more: str) -> list[str]:
    """What follows `python -m qa_compare` to measure the variant lora on `questions.json`."""
    found = ["evaluate", str(folder / "questions.json"), "--no-bertscore", "--variant", "lora", "--precision", "fp32"]
    found += ["--backbone", str(folder / "river-bert"), "--adapters", str(folder / "adapters")]
    return [*found, "--runs", str(folder / "runs"), *more]


def module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=250, **options
    )
