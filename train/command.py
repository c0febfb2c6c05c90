"""How a training command ends: in one line, whatever stopped it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from qa_compare.errors import UserError

_STOPPED = "\ntrain: stopped: the same command with --resume goes on from the last checkpoint\n"


@contextmanager
def one_line() -> Iterator[None]:
    """Ends wrong input and a full disk with one line and status 2; SIGTERM and Ctrl-C with one that says how to go on.

    A stopped run ends at once, as a killed one does: files and checkpoints are whole at any moment, and an exception
    could be lost in a library.
    """
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, _stop) for number in numbers}
    try:
        yield
    except UserError as error:
        sys.exit(_complain(str(error)))
    except OSError as error:
        reason = error.strerror or str(error)
        sys.exit(_complain(f"{reason}: {error.filename}" if error.filename else f"cannot write: {reason}"))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: object) -> None:
    os.write(2, _STOPPED.encode())
    os._exit(128 + number)


def _complain(message: str) -> int:
    print(f"train: error: {message}", file=sys.stderr)
    return 2
