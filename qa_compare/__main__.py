"""The command line: python -m qa_compare ask | predict | convert | evaluate | speed | paired | results | …

Exit status: 0, 1 for a check that fails, 2 for bad input (one line on standard error), 130 when interrupted. What the
commands do is in `cli/`, which is imported, with torch and the rest, only once the arguments are known to be right:
`--help` answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from qa_compare import __version__
from qa_compare.errors import UserError
from qa_compare.server import temporary

BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


class _Parser(argparse.ArgumentParser):
    """argparse, with its errors as one line without the usage."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` is without the program's name. Returns the exit status."""
    try:
        arguments = parser().parse_args(argv)
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader (head, less) is gone: what is still buffered has nowhere to go, and that is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (UserError, OSError) as error:
        print(f"qa_compare: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("qa_compare: interrupted", file=sys.stderr)
        return 130
    return status


def _run(arguments: argparse.Namespace) -> int:
    temporary.settle()
    from qa_compare.cli import commands as cli
    from qa_compare.cli import measuring

    if arguments.command == "results":
        return 0 if measuring.results(arguments) else 1
    commands = {
        "ask": cli.ask,
        "predict": cli.predict,
        "evaluate": measuring.evaluate,
        "speed": measuring.speed,
        "paired": measuring.paired,
        "export-base": cli.export_base,
        "convert": cli.convert,
        "doctor": cli.doctor,
    }
    commands[arguments.command](arguments)
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and their options. Raises UserError for arguments that it does not take."""
    top = _Parser(
        prog="python -m qa_compare",
        description="Ask base, LoRA and prompt tuning the same question, and measure them on a file of questions.",
    )
    top.add_argument("--version", action="version", version=f"qa_compare {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _common()

    ask = commands.add_parser("ask", parents=[common], help="one question about one passage, the variants side by side")
    passage = ask.add_mutually_exclusive_group(required=True)
    passage.add_argument("--passage", metavar="TEXT", help="the text to search")
    passage.add_argument("--passage-file", metavar="FILE", type=Path, help="a UTF-8 file with it; - is standard input")
    ask.add_argument("--question", required=True, metavar="TEXT")
    ask.add_argument("--variants", metavar="A,B", help="the variants to ask (default: base, lora and prompt-tuning)")
    ask.add_argument("--json", action="store_true", help="print one JSON object, with the five best answers of each")

    predict = commands.add_parser("predict", parents=[common], help="answer a file of questions")
    _add_file(predict)
    predict.add_argument("--output", required=True, type=Path, metavar="OUT.json", help="written as {id: answer}")

    convert = commands.add_parser("convert", help="check a file of questions, and write it as SQuAD JSON")
    convert.add_argument("file", type=Path, metavar="FILE", help="questions as CSV, JSONL or SQuAD JSON")
    convert.add_argument("--output", type=Path, metavar="OUT.json", help="without it, the file is only checked")
    convert.add_argument("--keep-good", action="store_true", help="leave the rows out that cannot be used")

    _add_measuring(commands, common)

    export = commands.add_parser("export-base", help="write a backbone's base as an ordinary checkpoint")
    export.add_argument("backbone", metavar="BACKBONE", help="for example minilm-l6-qa")
    export.add_argument("--output", required=True, type=Path, metavar="DIR")
    _add_source(export)

    doctor = commands.add_parser(
        "doctor", help="versions, weights, adapters, processor, a timed answer: for bug reports"
    )
    doctor.add_argument("--hub", action="store_true", help="also ask the hub whether it can be reached")
    doctor.add_argument("--json", action="store_true", help="print one JSON object")
    _add_adapters(doctor)
    return top


def _add_measuring(commands: Any, common: _Parser) -> None:
    """The commands that measure, and those that read what was measured."""
    evaluate = commands.add_parser("evaluate", parents=[common], help="measure a variant on a file of questions")
    _add_file(evaluate)
    _add_results(evaluate)

    speed = commands.add_parser("speed", parents=[common], help="how fast the variants answer, in turns")
    speed.add_argument("file", type=Path, metavar="FILE", help="questions as SQuAD JSON, JSONL or CSV")
    speed.add_argument("--questions", type=_positive, default=200, metavar="N", help="so many of them (default: 200)")
    speed.add_argument("--rounds", type=_positive, default=5, metavar="N", help="that count, after one (default: 5)")
    speed.add_argument("--save", action="store_true", help="into the metrics.json of every variant that has one")

    paired = commands.add_parser("paired", help="how far every two measured variants of a backbone are apart")
    _add_backbone(paired)
    _add_adapters(paired)
    paired.add_argument("--json", action="store_true", help="print one JSON list, an object for every two variants")

    results = commands.add_parser(
        "results", help="write the tables of README.md and docs/results.md from what was measured"
    )
    _add_adapters(results)
    results.add_argument("--check", action="store_true", help="write nothing; exit status 1 where they are stale")


def _common() -> _Parser:
    common = _Parser(add_help=False)
    _add_backbone(common)
    _add_source(common)
    common.add_argument(
        "--precision",
        choices=["auto", "fp32", "bf16"],
        default="fp32",
        help="fp32 (default), as saved answers are; bf16; or auto: bf16 where it is measured to be faster here",
    )
    common.add_argument(
        "--batch-size", type=_positive, default=32, metavar="N", help="windows of a passage run at once (default: 32)"
    )
    return common


def _add_results(evaluate: argparse.ArgumentParser) -> None:
    add = evaluate.add_argument
    add("--output", type=Path, metavar="METRICS.json", help="also write the scores, in percent")
    add("--predictions", type=Path, metavar="OUT.parquet", help="also write a row a question: its answer and scores")
    add("--model", type=Path, metavar="DIR", help="the model of a variant whose weights are not shipped (train.full)")
    add("--save", action="store_true", help="write both into the variant's folder, and its model card anew")
    add("--from-predictions", action="store_true", help="score the answers that --save left anew, without any model")
    scorer = evaluate.add_mutually_exclusive_group()
    scorer.add_argument(
        "--bertscore-model",
        metavar="MODEL",
        help="BERTScore's encoder: a hub id such as roberta-large, or a folder (default: all-MiniLM-L6-v2)",
    )
    scorer.add_argument("--no-bertscore", action="store_true", help="leave BERTScore out")
    add("--runs", type=Path, metavar="DIR", help="where a cut evaluation goes on from (default: runs/ beside this)")


def _add_backbone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backbone",
        default="minilm-l6-qa",
        metavar="NAME",
        help="minilm-l6-qa (default), minilm-l6, bert-tiny, or the hub id or folder of another BERT-family encoder",
    )


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, metavar="DIR", help="the folder that holds the backbone's checkpoint")
    parser.add_argument("--revision", metavar="COMMIT", help="the hub's commit, tag or branch of the backbone")
    _add_adapters(parser)


def _add_adapters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--adapters", type=Path, metavar="DIR", help="where the variants' folders are (default: adapters/ beside this)"
    )


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="questions as SQuAD JSON, JSONL or CSV")
    parser.add_argument("--variant", required=True, metavar="NAME", help="base, lora, prompt-tuning, …")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a passage's letters ends nothing
    sys.exit(main())
