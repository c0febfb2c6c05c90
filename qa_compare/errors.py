"""The one error that people see: a sentence that names what is wrong and what to do about it."""

from __future__ import annotations

from typing import Any

_SHOWN = 60  # characters


class UserError(ValueError):
    """Bad input, a missing file or missing weights. Its text is shown as it is, never with a traceback."""


class OverLimit(UserError):
    """More than the caller takes: too many bytes or rows."""


def reason(error: BaseException) -> str:
    """The first line of what a library says of an error; its kind where it says nothing, as `MemoryError` does."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def quoted(value: Any) -> str:
    """What somebody sent, for a sentence about it: never long, and never more than its kind where it is no text."""
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN else f"{value[: _SHOWN - 1]}…")
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return repr(value)
    return {dict: "an object", list: "a list", int: "a number that is too large"}.get(type(value), "no text")
