"""The program: its commands, and what its end tells the shell."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from qa_compare import __version__
from qa_compare.cli import commands, measuring
from qa_compare.errors import UserError

BROKEN_PIPE = 141  # what a shell reports for a program that SIGPIPE ended


@click.group(
    commands=[
        commands.ask,
        commands.predict,
        commands.convert,
        commands.export_base,
        commands.doctor,
        measuring.evaluate,
        measuring.speed,
        measuring.paired,
        measuring.results,
    ],
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="qa_compare", message="%(prog)s %(version)s")
def program() -> None:
    """Ask base, LoRA and prompt tuning the same question, and measure them on a file of questions."""
    from qa_compare.server import temporary

    temporary.settle()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; `argv` is without the program's name.

    Returns:
        The exit status: 0, 1 for a check that fails, 2 for bad input (one line on standard error), 130 when
        interrupted, 141 where the reader of the output has gone away.
    """
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
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


def _run(argv: Sequence[str]) -> int:
    """Parse and run. Not `program.main()`, which has its own words and statuses for interrupts and closed pipes."""
    name = "python -m qa_compare"
    try:
        with program.make_context(name, list(argv)) as context:
            return int(program.invoke(context) or 0)
    except click.exceptions.Exit as end:  # --help, --version
        return end.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else name
        raise UserError(f"{error.format_message().rstrip('.')} (see {command} --help)") from error
