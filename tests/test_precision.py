"""The precision follows what was measured, never a processor's promise."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from qa_compare import precision
from qa_compare.precision import fastest_precision


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    fastest_precision.cache_clear()
    yield
    fastest_precision.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, *, instruction: bool, fp32: float, bf16: float) -> list[torch.dtype]:
    """A processor with or without the instruction whose products take so many seconds; the list is what was timed."""
    timed: list[torch.dtype] = []

    def seconds(dtype: torch.dtype) -> float:
        timed.append(dtype)
        return bf16 if dtype == torch.bfloat16 else fp32

    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: instruction)
    monkeypatch.setattr(precision, "_seconds", seconds)
    return timed


@pytest.mark.parametrize(
    ("device", "instruction", "fp32", "bf16", "chosen"),
    [
        ("cpu", True, 2.0, 1.0, "bf16"),
        ("cpu", True, 1.2, 1.0, "bf16"),
        ("cpu", True, 1.1, 1.0, "fp32"),  # autocast's conversions would eat so small a gain
        ("cpu", True, 1.0, 2.0, "fp32"),
        ("cpu", False, 2.0, 1.0, "fp32"),
        ("cuda", True, 2.0, 1.0, "fp32"),
    ],
)
def test_bf16_is_chosen_only_where_it_was_measured_to_be_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, device: str, instruction: bool, fp32: float, bf16: float, chosen: str
) -> None:
    timed = pretend(monkeypatch, instruction=instruction, fp32=fp32, bf16=bf16)
    assert fastest_precision(device) == chosen
    assert bool(timed) == (instruction and device == "cpu")


def test_it_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = pretend(monkeypatch, instruction=True, fp32=2.0, bf16=1.0)
    assert [fastest_precision(), fastest_precision()] == ["bf16", "bf16"]
    assert len(timed) == 2


def test_this_processor_gets_what_it_was_measured_to_do_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    took: dict[torch.dtype, float] = {}
    measure = precision._seconds

    def seconds(dtype: torch.dtype) -> float:
        took[dtype] = measure(dtype)
        return took[dtype]

    monkeypatch.setattr(precision, "_seconds", seconds)
    chosen = fastest_precision()
    assert all(0 < one < 10 for one in took.values())
    assert set(took) == ({torch.float32, torch.bfloat16} if torch.cpu._is_avx512_bf16_supported() else set())
    assert chosen == ("bf16" if took and took[torch.float32] > 1.15 * took[torch.bfloat16] else "fp32")


def test_of_several_products_in_that_precision_the_fastest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    multiplied: list[torch.dtype] = []
    clock = [0.0]

    def product(left: torch.Tensor, right: torch.Tensor) -> None:
        multiplied.append(left.dtype)
        assert right.dtype == left.dtype
        clock[0] += 2.0 if len(multiplied) == 2 else 5.0

    monkeypatch.setattr("torch.mm", product)
    monkeypatch.setattr(precision, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    assert precision._seconds(torch.bfloat16) == 2.0
    assert set(multiplied) == {torch.bfloat16}
    assert len(multiplied) > 2
