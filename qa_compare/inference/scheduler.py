"""Forward passes of many threads: one at a time, the oldest first, windows of several requests in one batch.

Two passes at once would share the processor's cores and caches and both be slower. A batch of some thousand tokens is
where a processor is fastest: fewer read the weights too often, more no longer fit into its caches. A batch that is too
large for the memory is halved and tried again. A request's thread knows for whom it works (`asked_by`), and work for
one who has left ends between two passes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch

from qa_compare.errors import UserError
from qa_compare.inference.decoding import Floats
from qa_compare.models.features import Window


def _nobody() -> bool:
    return False


_left: ContextVar[Callable[[], bool]] = ContextVar("left", default=_nobody)


@contextmanager
def asked_by(left: Callable[[], bool]) -> Iterator[None]:
    """What this thread does while the block runs is done for one who is there until `left()` is true."""
    before = _left.set(left)
    try:
        yield
    finally:
        _left.reset(before)


def left() -> bool:
    """Whether the one for whom this thread works has left."""
    return _left.get()()


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


Pair = tuple[Floats, Floats]
Variant = Any  # whatever tells variants apart: those that are equal share a pass
Forward = Callable[[Variant, Sequence[Window]], Sequence[Pair]]
_WASTE = 1.1  # more padding than a tenth costs what the larger batch gains


class Turns:
    """`turns(variant, windows)` gives each window's start and end logits, by way of `forward`, when its turn comes.

    Requests of other threads that wait for the same variant join the batch where their windows are of like length and
    the batch stays within `rows` windows and `tokens` tokens, padding counted in.
    """

    def __init__(self, forward: Forward, *, rows: int, tokens: int) -> None:
        self._forward, self._rows, self._tokens = forward, rows, tokens
        self._waiting: deque[_Request] = deque()
        self._changing, self._turn = threading.Lock(), threading.Lock()

    def __call__(self, variant: Variant, windows: Sequence[Window]) -> list[Pair]:
        """The windows' start and end logits, in their order. Raises what `forward` raises, for each that it served."""
        mine = _Request(variant, windows)
        with self._changing:
            self._waiting.append(mine)
        with self._turn:  # whoever comes in serves those before him; often someone has served him already
            while not mine.done.done():
                self._serve()
        return mine.done.result()

    def _serve(self) -> None:
        together = self._next()
        windows = [window for request in together for window in request.windows]
        try:
            found = iter(self._forward(together[0].variant, windows))
            for request in together:
                request.done.set_result([next(found) for _ in request.windows])
        except BaseException as error:  # each of them must hear of it, an interrupt included
            for request in together:
                if not request.done.done():
                    request.done.set_exception(error)

    def _next(self) -> list[_Request]:
        """The oldest request and those that may join it, taken out of the queue."""
        with self._changing:
            together = [self._waiting.popleft()]
            for request in [one for one in self._waiting if one.variant == together[0].variant]:
                if self._fits([*together, request]):
                    together.append(request)
                    self._waiting.remove(request)
        return together

    def _fits(self, requests: Sequence[_Request]) -> bool:
        lengths = [len(window.input_ids) for request in requests for window in request.windows]
        padded = len(lengths) * max(lengths)
        return len(lengths) <= self._rows and padded <= min(self._tokens, _WASTE * sum(lengths))


class _Request:
    def __init__(self, variant: Variant, windows: Sequence[Window]) -> None:
        self.variant, self.windows = variant, windows
        self.done: Future[list[Pair]] = Future()


def by_length(windows: Sequence[Window], *, rows: int, tokens: int) -> Iterator[list[int]]:
    """Places of `windows` in batches of like length, longest first: at most `rows` windows and `tokens` tokens each,
    padding counted in, yet at least one window."""
    order = sorted(range(len(windows)), key=lambda place: -len(windows[place].input_ids))
    while order:
        many = max(1, min(rows, tokens // len(windows[order[0]].input_ids)))
        yield order[:many]
        order = order[many:]
