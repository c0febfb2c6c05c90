"""Where memory does not suffice for a batch, halves of it are answered, with the same logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from qa_compare.errors import UserError
from qa_compare.inference.scheduler import in_halves, out_of_memory
from qa_compare.models.features import Window, encode, pad
from tests import tiny
from tests.near import expect_near


def grab() -> None:
    """What a real allocation that is too large raises."""
    torch.empty(2**50, dtype=torch.float32)


class Narrow:
    """A model on a machine whose memory holds `most` windows."""

    def __init__(self, most: int) -> None:
        self.most, self.model = most, tiny.model()
        self.asked: list[int] = []

    def __call__(self, batch: Sequence[Window]) -> list[Any]:
        self.asked.append(len(batch))
        if len(batch) > self.most:
            grab()
        with torch.inference_mode():
            output = self.model(**pad(batch, 0))
        return list(zip(output.start_logits.numpy(), output.end_logits.numpy(), strict=True))


def windows(count: int) -> list[Window]:
    return [one.windows[0] for one in encode(tiny.examples(count), tiny.tokenizer())]


@pytest.mark.parametrize(("most", "asked"), [(8, [7]), (4, [7, 3, 4]), (2, [7, 3, 1, 2, 4, 2, 2])])
def test_halves_give_the_logits_of_the_whole_in_its_order(most: int, asked: list[int]) -> None:
    batch, narrow = windows(7), Narrow(most)
    found = in_halves(narrow, batch)
    assert narrow.asked == asked
    for pair, window, expected in zip(found, batch, Narrow(7)(batch), strict=True):
        length = len(window.input_ids)
        for row, whole in zip(pair, expected, strict=True):
            expect_near(row[:length], whole[:length])


def test_one_window_that_is_too_much_is_explained() -> None:
    narrow = Narrow(0)
    with pytest.raises(UserError, match="not enough memory on this machine"):
        in_halves(narrow, windows(4))
    assert narrow.asked == [4, 2, 1]


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), ValueError("x")])
def test_any_other_error_is_not_hidden(error: Exception) -> None:
    def fail(_batch: Sequence[int]) -> Any:
        raise error

    with pytest.raises(type(error)):
        in_halves(fail, [1, 2])


def test_every_kind_of_running_out_is_known() -> None:
    with pytest.raises(RuntimeError) as torchs:
        grab()
    with pytest.raises(MemoryError) as numpys:
        np.empty(2**58)
    assert all(out_of_memory(one.value) for one in (torchs, numpys))
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not out_of_memory(RuntimeError("size mismatch"))
