"""The precision follows what was measured, never a processor's promise."""

from __future__ import annotations

from collections.abc import Iterator

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


def test_this_processor_gets_one_of_the_two() -> None:
    assert fastest_precision() in {"fp32", "bf16"}
    assert precision._seconds(torch.float32) > 0
