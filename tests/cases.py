"""How many cases a property test tries: QA_COMPARE_CASES times as many as it says (make soak: more)."""

from __future__ import annotations

import os

from hypothesis import settings

TIMES = int(os.environ.get("QA_COMPARE_CASES", "1"))


def cases(number: int) -> settings:
    """The settings of a test of so many cases, as often as is asked for."""
    return settings(max_examples=number * TIMES, deadline=None)
