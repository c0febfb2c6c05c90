"""The commands that ask, convert, export and examine. Results go to standard output, progress to standard error."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Unpack

import click

from qa_compare.cli import options
from qa_compare.cli.options import EngineOptions, check_output, hide_loading_bars, not_both, open_engine, progress_bar
from qa_compare.errors import UserError


@click.command()
@click.option("--passage", metavar="TEXT", help="the text to search: this or --passage-file is needed")
@click.option("--passage-file", type=Path, metavar="FILE", help="a UTF-8 file with it; - is standard input")
@click.option("--question", required=True, metavar="TEXT")
@click.option("--variants", metavar="A,B", help="the variants to ask (default: base, lora and prompt-tuning)")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object, with the five best answers of each")
@options.engine
def ask(
    passage: str | None,
    passage_file: Path | None,
    question: str,
    variants: str | None,
    as_json: bool,
    **chosen: Unpack[EngineOptions],
) -> None:
    """Ask the variants one question about one passage."""
    not_both("--passage", passage, "--passage-file", passage_file)
    question = _utf8(question, "--question")
    if passage_file is not None:
        passage = _read(passage_file)
    elif passage is None:
        raise click.UsageError("Missing option '--passage' or '--passage-file'")
    passage = _utf8(passage, "--passage")
    names = None if variants is None else _names(variants)
    comparison = open_engine(**chosen).compare(passage, question, names)
    if all(answer.problem for answer in comparison.answers):
        raise UserError(str(comparison.answers[0].problem))

    from qa_compare.cli.printing import table

    if as_json:
        ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        print(json.dumps(comparison.as_dict(), indent=2, ensure_ascii=ascii_only))
    else:
        print(table(comparison))


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
    from qa_compare.files import read_bytes

    data = sys.stdin.buffer.read() if str(path) == "-" else read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"--passage-file {path} is not UTF-8 text (byte {error.start})") from error


@click.command()
@options.file
@options.variant
@click.option("--output", required=True, type=Path, metavar="OUT.json", help="written as {id: answer}")
@options.engine
def predict(file: Path, variant: str, output: Path, **chosen: Unpack[EngineOptions]) -> None:
    """Answer a file of questions."""
    from qa_compare.data.readers import read_file
    from qa_compare.files import write_json

    check_output("--output", output, file)
    found = read_file(file)
    engine = open_engine(**chosen)
    engine.model(variant)
    print(found.told, file=sys.stderr)
    with progress_bar(len(found.examples), variant) as progress:
        predictions = engine.predict(found.examples, variant, top=1, progress=progress)
    answers = {prediction.id: prediction.answer for prediction in predictions}
    write_json(output, answers)

    from qa_compare.inference.decoding import notes

    print("\n".join([f"wrote {len(answers):,} answers to {output}", *notes(predictions), *engine.warnings]))


@click.command()
@options.file
@click.option("--output", type=Path, metavar="OUT.json", help="without it, the file is only checked")
@click.option("--keep-good", is_flag=True, help="leave the rows out that cannot be used")
def convert(file: Path, output: Path | None, keep_good: bool) -> None:
    """Check a file of questions, and write it as SQuAD JSON."""
    from qa_compare.data.examples import to_squad
    from qa_compare.data.readers import check_file
    from qa_compare.files import write_json

    check_output("--output", output, file)
    found = check_file(file)
    for problem in [*found.problems, *found.notes]:
        print(f"{problem.row}: {problem.message}", file=sys.stderr)
    bad, good = len(found.problems), len(found.examples)
    if bad and not (keep_good and good):
        kept = f"; --keep-good leaves them out and keeps the other {good:,}" if good else ""
        raise UserError(f"{file}: {bad:,} row{'s' * (bad != 1)} cannot be used{kept}")
    print(found.told)
    if output:
        write_json(output, to_squad(found.examples))
        print(f"wrote {found.held}, to {output}")


@click.command()
@click.argument("backbone", metavar="BACKBONE", help="for example minilm-l6-qa")
@click.option("--output", required=True, type=Path, metavar="DIR")
@options.weights
@options.revision
@options.adapters
def export_base(backbone: str, output: Path, weights: Path | None, revision: str | None, adapters: Path) -> None:
    """Write a backbone's base as an ordinary checkpoint."""
    from qa_compare.models import loading

    hide_loading_bars()
    loading.export_base(backbone, output, adapters=adapters, weights=weights, revision=revision)
    print(f"wrote {backbone} to {output}")


@click.command()
@click.option("--hub", is_flag=True, help="also ask the hub whether it can be reached")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object")
@options.adapters
def doctor(hub: bool, as_json: bool, adapters: Path) -> None:
    """Show what a bug report needs.

    Versions, weights, adapters, the processor, and how long an answer takes.
    """
    from qa_compare.cli.doctor import examine, table

    hide_loading_bars()
    found = examine(adapters, ask_hub=hub)
    print(json.dumps(found, indent=2) if as_json else table(found))
