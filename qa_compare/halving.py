"""A batch that memory does not suffice for is halved and tried again, down to one; then it is explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from qa_compare.errors import UserError

Item = TypeVar("Item")
Row = TypeVar("Row")
_SIGNS = ("can't allocate memory", "out of memory", "bad_alloc", "not enough memory")
EXPLAINED = "There is not enough memory on this machine to answer that: try a shorter passage, or come again later."


def in_halves(forward: Callable[[Sequence[Item]], list[Row]], batch: Sequence[Item]) -> list[Row]:
    """`forward(batch)`, a row an item; where memory runs out, that of both halves, one after the other.

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
    return in_halves(forward, batch[:middle]) + in_halves(forward, batch[middle:])


def _tried(forward: Callable[[Sequence[Item]], list[Row]], batch: Sequence[Item]) -> list[Row] | None:
    try:
        return forward(batch)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return None


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice: Python's, NumPy's, torch's of a processor or of a card."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)
