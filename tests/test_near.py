"""What passes for rounding, and what does not."""

from __future__ import annotations

import pytest
import torch

from tests.near import expect_near


def test_a_value_near_zero_may_be_off_as_far_as_a_large_one() -> None:
    expect_near(torch.tensor([20.0, 1e-6]), [20.001, -5e-4])


@pytest.mark.parametrize("found", [[20.0, 0.01], [20.0, float("nan")], [20.0], [[20.0, 0.0]]])
def test_what_is_further_off_or_of_another_shape_is_told(found: list[float]) -> None:
    with pytest.raises(AssertionError):
        expect_near(found, [20.0, 0.0])
