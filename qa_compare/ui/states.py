"""What stands in a place while there is nothing there, or not yet everything. Every text is escaped here."""

from __future__ import annotations

import math

from qa_compare.answering import Progress
from qa_compare.ui import cards


def progress(now: Progress | None) -> str:
    """How far the answering is; None before it has begun."""
    if now is None:
        return bar(0.0, "Loading the models…")
    share = now.done / now.total if now.total else 1.0
    left = "" if now.left is None else f", about {_time(now.left)} left"
    return bar(share, f"{now.label}: {now.done:,} of {now.total:,} answers{left}")


def bar(share: float, words: str) -> str:
    """A progress bar with words beside it, which screen readers read too."""
    return (
        f'<div class="progress"><progress max="1" value="{share:.3f}" aria-label="Answering"></progress>'
        f"<p>{cards.text(words)}</p></div>"
    )


def told(markup: str) -> str:
    """A line in the place of the progress bar; it is markup, whose texts the caller has escaped."""
    return f'<div class="progress"><p>{markup}</p></div>'


def nothing(first: str, then: str = "") -> str:
    """The place of a table or of a question, where there is none."""
    return f'<div class="nothing"><p>{cards.text(first)}</p><p>{cards.text(then)}</p></div>'


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
