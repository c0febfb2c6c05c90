"""The options that every training command shares, and the report's values as a preset."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from qa_compare.models.backbones import ADAPTERS
from train import leaks

# the student report's values, in every command one flag away: --preset report
REPORT: dict[str, Any] = {
    "epochs": 10.0,
    "patience": 2,
    "learning_rate": 3e-3,
    "head_learning_rate": None,
    "batch_size": 2,
    "accumulate": 4,
    "precision": "fp32",
    "encoder_dropout": None,
    "max_examples": 1000,
    "max_validation": 200,
    "evaluations_per_epoch": 1,
    "rank": 8,
    "alpha": 32,
    "dropout": 0.1,
    "targets": "query,value",
    "virtual_tokens": 20,
    "initial_text": "Answer the question based on the context:",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What a training run is told. `method_options` are the ones that only its method has (rank, virtual tokens, …)."""

    backbone: str = "minilm-l6-qa"
    weights: Path | None = None
    revision: str | None = None
    adapters: Path = ADAPTERS
    output: Path | None = None
    init_from: Path | None = None
    train_file: tuple[Path, ...] = ()
    validation_file: Path | None = None
    validation_fraction: float = 0.05
    keep_out: tuple[Path, ...] = ()
    drop_overlap: bool = False
    max_overlap: float = leaks.MOST
    max_examples: int | None = None
    max_validation: int | None = 1000
    answers: str = "first"
    epochs: float = 3.0
    max_steps: int = -1
    learning_rate: float = 1e-3
    head_learning_rate: float | None = None
    batch_size: int = 16
    accumulate: int = 1
    warmup: float = 0.06
    weight_decay: float = 0.01
    schedule: str = "linear"
    patience: int = 3
    evaluations_per_epoch: int = 2
    precision: str = "auto"
    device: str = "auto"
    seed: int = 0
    runs: Path = Path("runs")
    resume: bool = False
    overwrite: bool = False
    pad_to: int | None = None
    encoder_dropout: float | None = 0.0
    recipe: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The shared options, with their units."""
    add = parser.add_argument
    add("--backbone", help="minilm-l6-qa, minilm-l6, bert-tiny, a hub id or a checkpoint folder")
    add("--weights", type=Path, help="folder with the backbone's weights")
    add("--revision", help="commit, branch or tag on the hub")
    add("--adapters", type=Path, help="folder of all adapters (default: adapters)")
    add("--output", type=Path, help="the variant's folder (default: adapters/<backbone>/<method>)")
    add("--init-from", type=Path, help="a variant folder of the same method to continue from")
    add("--train-file", type=Path, action="append", help="SQuAD JSON, JSONL or CSV; several times (default: the hub's)")
    add("--validation-file", type=Path, help="held-out questions for early stopping")
    add("--validation-fraction", type=float, help="or this share of the training passages (default: 0.05)")
    add(
        "--keep-out",
        type=Path,
        action="append",
        help="a test set: refuse to train on passages like its own; several times",
    )
    add("--drop-overlap", action="store_true", help="leave overlapping training passages out instead of refusing")
    add(
        "--max-overlap", type=_whole_share, help="share of 13-word sequences that two passages may have in common (0.1)"
    )
    add("--max-examples", type=positive, help="training questions, drawn at random")
    add("--max-validation", type=positive, help="validation questions, drawn at random (default: 1000)")
    add("--answers", choices=("first", "sampled"), help="train on the first gold answer, or on a random one each time")
    _add_steps(add)
    add("--runs", type=Path, help="folder for checkpoints (default: runs)")
    add(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint of this output, with its settings and data",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace a finished run, at the end of this one; the old folder is kept under --runs",
    )
    add("--pad-to", type=positive, help="pad every window to this many tokens, as the report does (slower)")
    add("--encoder-dropout", type=_rate, help='in the encoder, or "own": what its checkpoint says (default: 0, faster)')
    add("--recipe", help="the name that run.json gives these options: train.recipe passes its own")
    add("--preset", choices=("report",), help="the student report's values; options given beside it win")


def _add_steps(add: Callable[..., Any]) -> None:
    """The options that say how the steps are taken."""
    add("--epochs", type=above_zero, help="passes over the training questions, at most")
    add("--max-steps", type=positive, help="optimiser steps, instead of --epochs")
    add("--learning-rate", type=above_zero, help="of the adapter")
    add("--head-learning-rate", type=above_zero, help="of the question-answering head (default: the adapter's)")
    add("--batch-size", type=positive, help="windows in a forward pass of one process")
    add("--accumulate", type=positive, help="forward passes of each process in an optimiser step")
    add("--warmup", type=share, help="share of the steps in which the learning rate rises")
    add("--weight-decay", type=share)
    add("--schedule", choices=("linear", "cosine", "constant"), help="of the learning rate after the warm-up")
    add("--patience", type=positive, help="evaluations without a lower loss before stopping early")
    add("--evaluations-per-epoch", type=positive)
    add("--precision", choices=("auto", "fp32", "bf16"), help="auto: bf16 where it is faster here")
    add("--device", choices=("auto", "cpu", "cuda"))
    add("--seed", type=seed)


def _rate(text: str) -> float | None:
    return None if text == "own" else share(text)


def _whole_share(text: str) -> float:
    return 1.0 if float(text) == 1 else share(text)


def share(text: str) -> float:
    """A number from 0 to below 1, as an argument's type."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 1")
    return number


def above_zero(text: str) -> float:
    """A number above 0, as an argument's type."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def seed(text: str) -> int:
    """What NumPy takes as one, as an argument's type."""
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to below 2**32")
    return number


def positive(text: str) -> int:
    """A whole number from 1, as an argument's type."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def parse(
    parser: argparse.ArgumentParser, defaults: dict[str, Any], argv: list[str] | None = None
) -> tuple[Options, dict[str, Any]]:
    """The shared options and the method's own, from the command line.

    The parser must have been made with `argument_default=argparse.SUPPRESS`.
    """
    add_arguments(parser)
    return resolve(vars(parser.parse_args(argv)), defaults)


def resolve(given: dict[str, Any], defaults: dict[str, Any]) -> tuple[Options, dict[str, Any]]:
    """An option's value is the one given, else the preset's, else the method's default, else the shared default."""
    given = dict(given)
    preset = REPORT if given.pop("preset", None) == "report" else {}
    values = {**defaults, **{key: preset[key] for key in preset if key in _SHARED or key in defaults}, **given}
    shared: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if key in _SHARED
    }
    return Options(**shared), {key: value for key, value in values.items() if key not in _SHARED}


_SHARED = {field.name for field in fields(Options)}
