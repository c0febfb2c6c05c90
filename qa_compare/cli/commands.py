"""What the commands do, and what they share; those that measure are in `measuring.py`.

Results go to standard output, progress to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qa_compare.data.examples import to_squad
from qa_compare.data.readers import check_file, read_file
from qa_compare.errors import UserError
from qa_compare.files import read_bytes, write_json
from qa_compare.inference.decoding import notes

if TYPE_CHECKING:
    from qa_compare.inference.comparison import Comparison, VariantAnswer
    from qa_compare.inference.engine import Engine


Progress = Callable[[int, int], None]


def ask(arguments: argparse.Namespace) -> None:
    """Print what each variant answers, as a table or as JSON."""
    question = _utf8(arguments.question, "--question")
    passage = _utf8(arguments.passage, "--passage") if arguments.passage_file is None else _read(arguments.passage_file)
    names = None if arguments.variants is None else _names(arguments.variants)
    comparison = open_engine(arguments).compare(passage, question, names)
    if all(answer.problem for answer in comparison.answers):
        raise UserError(str(comparison.answers[0].problem))
    if arguments.json:
        ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        print(json.dumps(comparison.as_dict(), indent=2, ensure_ascii=ascii_only))
    else:
        print(table(comparison))


def predict(arguments: argparse.Namespace) -> None:
    """Write `{id: answer}` for every question of a file."""

    check_output("--output", arguments.output, arguments.file)
    found = read_file(arguments.file)
    examples = found.examples
    engine = open_engine(arguments)
    engine.model(arguments.variant)
    print(found.told, file=sys.stderr)
    with progress_bar(len(examples), arguments.variant) as progress:
        predictions = engine.predict(examples, arguments.variant, top=1, progress=progress)
    answers = {prediction.id: prediction.answer for prediction in predictions}
    write_json(arguments.output, answers)
    print("\n".join([f"wrote {len(answers):,} answers to {arguments.output}", *notes(predictions), *engine.warnings]))


def convert(arguments: argparse.Namespace) -> None:
    """Check a file of questions, list what is wrong with it, and write it as SQuAD JSON."""
    if arguments.output:
        check_output("--output", arguments.output, arguments.file)
    found = check_file(arguments.file)
    for problem in [*found.problems, *found.notes]:
        print(f"{problem.row}: {problem.message}", file=sys.stderr)
    bad, good = len(found.problems), len(found.examples)
    if bad and not (arguments.keep_good and good):
        kept = f"; --keep-good leaves them out and keeps the other {good:,}" if good else ""
        raise UserError(f"{arguments.file}: {bad:,} row{'s' * (bad != 1)} cannot be used{kept}")
    print(found.told)
    if arguments.output:
        write_json(arguments.output, to_squad(found.examples))
        print(f"wrote {found.held}, to {arguments.output}")


def doctor(arguments: argparse.Namespace) -> None:
    """Print what a bug report needs."""
    from qa_compare.cli.doctor import examine
    from qa_compare.cli.doctor import table as lines

    _hide_loading_bars()
    found = examine(adapters_folder(arguments), ask_hub=arguments.hub)
    print(json.dumps(found, indent=2) if arguments.json else lines(found))


def export_base(arguments: argparse.Namespace) -> None:
    """Write a backbone's base, its adapter merged in, as an ordinary checkpoint."""
    from qa_compare.models.loading import export_base as export

    _hide_loading_bars()
    export(
        arguments.backbone,
        arguments.output,
        adapters=adapters_folder(arguments),
        weights=arguments.weights,
        revision=arguments.revision,
    )
    print(f"wrote {arguments.backbone} to {arguments.output}")


def open_engine(arguments: argparse.Namespace, device: str | None = None) -> Engine:
    """The engine that the options of a command describe, on `device` or the one it chooses itself.

    Raises:
        UserError: an unknown backbone or precision, or no folder where --adapters says.
    """
    from qa_compare.inference.engine import Engine

    engine = Engine(
        arguments.backbone,
        adapters=adapters_folder(arguments),
        weights=arguments.weights,
        revision=arguments.revision,
        precision=arguments.precision,
        batch_size=arguments.batch_size,
        device=device or "auto",
    )
    _hide_loading_bars()
    return engine


def _hide_loading_bars() -> None:
    """Reading a checkpoint from the disk takes a moment, and no bar; a download from the hub keeps its own."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()


def adapters_folder(arguments: argparse.Namespace) -> Path:
    """Where the variants' folders are. Raises UserError where --adapters names none, or one of them."""
    from qa_compare.models.backbones import ADAPTERS
    from qa_compare.models.variants import check_root

    if arguments.adapters and not arguments.adapters.is_dir():
        raise UserError(f"--adapters {arguments.adapters}: there is no such folder")
    if arguments.adapters:
        check_root(arguments.adapters)
    return arguments.adapters or ADAPTERS


@contextmanager
def progress_bar(
    total: int | None, label: str, *, found: int = 0, unit: str = "questions", shown: bool = True
) -> Iterator[Progress]:
    """A bar with the time left on standard error, moved by `progress(done, total)`; `found` were done before it."""
    from tqdm import tqdm

    # a log file gets a line now and then, a terminal a moving bar
    interval = 0.1 if sys.stderr.isatty() else 30
    with tqdm(
        total=total,
        initial=found,
        desc=label,
        unit=f" {unit}",
        file=sys.stderr,
        mininterval=interval,
        disable=not shown,
    ) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


def table(comparison: Comparison) -> str:
    """The variants' answers, a row each, and who agrees with whom; as wide as the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = Table("Variant", "Answer", box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    rows.add_column("Confidence", justify="right")
    rows.add_column("Time", justify="right")
    for answer in comparison.answers:
        # Text: a passage's [brackets] are not rich's markup
        rows.add_row(*(Text(cell) for cell in _row(answer)))
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(rows)
        for sentence in (comparison.agreement, *comparison.warnings):
            console.print(Text(_printable(sentence)))
    return capture.get().rstrip("\n")


def _row(answer: VariantAnswer) -> tuple[str, str, str, str]:
    if answer.problem:
        return answer.label, _printable(answer.problem), "–", "–"
    if not answer.prediction or not answer.prediction.candidates:
        return answer.label, "no answer", "–", f"{answer.latency_ms:.0f} ms"
    confidence = f"{100 * answer.prediction.confidence:.1f} %"
    return answer.label, _printable(answer.answer), confidence, f"{answer.latency_ms:.0f} ms"


def _printable(text: str) -> str:
    """One line without control characters: a passage must not move a terminal's cursor or colour it."""
    return "".join("�" if unicodedata.category(one) == "Cc" else one for one in " ".join(text.split()))


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UserError("--variants names no variant")
    return list(dict.fromkeys(names))


def _utf8(text: str, option: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{option} is not valid UTF-8") from None
    return text


def _read(path: Path) -> str:
    """The passage in a file, line ends as they are: offsets count them."""
    data = sys.stdin.buffer.read() if str(path) == "-" else read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"--passage-file {path} is not UTF-8 text (byte {error.start})") from error


def check_output(option: str, path: Path, *sources: Path) -> None:
    """Refuse an output that cannot be written before the long work, not after it.

    Raises:
        UserError: it is no ordinary file, one of the `sources`, or in a folder that cannot be written.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{option} {path} is {'a folder' if path.is_dir() else 'not an ordinary file'}")
    if any(path.exists() and source.exists() and path.samefile(source) for source in sources):
        raise UserError(f"{option} {path} would overwrite the questions")
    if not path.parent.is_dir():
        raise UserError(f"{option} {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{option} {path}: the folder {path.parent} cannot be written")
