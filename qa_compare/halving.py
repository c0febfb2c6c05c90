"""A batch that memory does not suffice for is halved and tried again, down to one; then it is explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from qa_compare.errors import UserError

Item = TypeVar("Item")
_SIGNS = ("can't allocate memory", "out of memory", "bad_alloc", "not enough memory")
EXPLAINED = "There is not enough memory on this machine to answer that: try a shorter passage, or come again later."


def in_halves(
    forward: Callable[[Sequence[Item]], tuple[Sequence[Any], Sequence[Any]]], batch: Sequence[Item]
) -> tuple[list[Any], list[Any]]:
    """`forward(batch)` as two lists of a row an item; where memory runs out, that of both halves, one after the other.

    Raises:
        UserError: memory runs out for a single item.
    """
    found = _tried(forward, batch)
    if found is not None:
        return found
    # outside of `except`, whose traceback would hold on to the tensors that were too many
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(batch) < 2:
        raise UserError(EXPLAINED)
    middle = len(batch) // 2
    first, second = (in_halves(forward, half) for half in (batch[:middle], batch[middle:]))
    return first[0] + second[0], first[1] + second[1]


def _tried(
    forward: Callable[[Sequence[Item]], tuple[Sequence[Any], Sequence[Any]]], batch: Sequence[Item]
) -> tuple[list[Any], list[Any]] | None:
    try:
        starts, ends = forward(batch)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return None
    return list(starts), list(ends)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice: Python's, NumPy's, torch's of a processor or of a card."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
