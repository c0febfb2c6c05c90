"""The options that commands share, and what they open.

Here and in the commands, torch and the rest are imported where they are used: `--help` and wrong arguments are answered
at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import click

from qa_compare.errors import UserError

if TYPE_CHECKING:
    from qa_compare.inference.engine import Engine

Progress = Callable[[int, int], None]
_Command = TypeVar("_Command", bound=Callable[..., Any])


def positive(value: str | int) -> int:
    """The type of an option that takes a whole number from 1 on."""
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise click.BadParameter(f"{value} is not a positive whole number")
    return number


def _adapters(_context: click.Context, _option: click.Parameter, folder: Path | None) -> Path:
    from qa_compare.models.backbones import ADAPTERS
    from qa_compare.models.variants import check_root

    if folder is None:
        return ADAPTERS
    if not folder.is_dir():
        raise UserError(f"--adapters {folder}: there is no such folder")
    check_root(folder)
    return folder


backbone = click.option(
    "--backbone",
    default="minilm-l6-qa",
    metavar="NAME",
    help="minilm-l6-qa (default), minilm-l6, bert-tiny, or the hub id or folder of another BERT-family encoder",
)
weights = click.option("--weights", type=Path, metavar="DIR", help="the folder that holds the backbone's checkpoint")
revision = click.option("--revision", metavar="COMMIT", help="the hub's commit, tag or branch of the backbone")
adapters = click.option(
    "--adapters",
    type=Path,
    callback=_adapters,
    metavar="DIR",
    help="where the variants' folders are (default: adapters/ beside this)",
)
variant = click.option("--variant", required=True, metavar="NAME", help="base, lora, prompt-tuning, …")
file = click.argument("file", type=Path, metavar="FILE", help="questions as SQuAD JSON, JSONL or CSV")


class EngineOptions(TypedDict):
    """What `engine` gives to a command, as Engine takes it."""

    backbone: str
    weights: Path | None
    revision: str | None
    adapters: Path
    precision: str
    batch_size: int


def engine(command: _Command) -> _Command:
    """Give a command the options that `open_engine` takes."""
    precision = click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16"]),
        default="fp32",
        help="fp32 (default), as saved answers are; bf16; or auto: bf16 where it is measured to be faster here",
    )
    batch_size = click.option(
        "--batch-size",
        type=positive,
        default=32,
        metavar="N",
        help="windows of a passage run at once (default: 32)",
    )
    for option in (batch_size, precision, adapters, revision, weights, backbone):
        command = option(command)
    return command


def not_both(first: str, one: object, second: str, other: object) -> None:
    """Refuse two options that exclude each other. Raises UsageError where both have a value."""
    if one not in (None, False) and other not in (None, False):
        raise click.UsageError(f"{first} is not allowed with {second}")


def open_engine(device: str | None = None, **chosen: Unpack[EngineOptions]) -> Engine:
    """The engine that the options of a command describe. Raises UserError for an unknown backbone."""
    from qa_compare.inference.engine import Engine

    hide_loading_bars()
    return Engine(**chosen, device=device or "auto")


def hide_loading_bars() -> None:
    """Reading a checkpoint from the disk takes a moment, and no bar; a download from the hub keeps its own."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


@contextmanager
def progress_bar(
    total: int | None, label: str, *, found: int = 0, unit: str = "questions", shown: bool = True
) -> Iterator[Progress]:
    """A bar with the time left on standard error, moved by `progress(done, total)`; `found` were done before it."""
    from tqdm import tqdm

    # a log file gets a line now and then, a terminal a moving bar
    every = 0.1 if sys.stderr.isatty() else 30
    with tqdm(
        total=total, initial=found, desc=label, unit=f" {unit}", file=sys.stderr, mininterval=every, disable=not shown
    ) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


def check_output(option: str, path: Path | None, *sources: Path) -> None:
    """Refuse an output that is wanted and cannot be written, before the long work and not after it.

    Raises:
        UserError: it is no ordinary file, one of the `sources`, or in a folder that cannot be written.
    """
    if path is None:
        return
    if path.exists() and not path.is_file():
        raise UserError(f"{option} {path} is {'a folder' if path.is_dir() else 'not an ordinary file'}")
    if any(path.exists() and source.exists() and path.samefile(source) for source in sources):
        raise UserError(f"{option} {path} would overwrite the questions")
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{option} {path}: the folder {path.parent} cannot be written")
