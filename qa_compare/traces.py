"""Tracebacks that say where something failed and with what kind of error, and nothing of what a visitor wrote.

Gradio prints an error's own words too, and where a call has too few values, or the wrong ones, these hold all of them.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

from gradio import queueing, routes


def without_texts() -> None:
    """From now on, Gradio's tracebacks on standard error end with the kind of error."""
    for module in (queueing, routes):
        vars(module)["traceback"] = _Places()


class _Places:
    """The module `traceback`, but for one function."""

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)

    def print_exc(self) -> None:
        """The places of the error that is being handled, and its kind."""
        error = sys.exception()
        places = "".join(traceback.format_tb(error.__traceback__)) if error else ""
        print(f"Traceback (most recent call last):\n{places}{type(error).__name__}", file=sys.stderr)
