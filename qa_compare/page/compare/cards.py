"""Answers -> HTML: the line that says who agrees, and one card a variant. Every text of users is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from qa_compare.data.examples import Answer
from qa_compare.inference.comparison import Comparison, VariantAnswer
from qa_compare.inference.decoding import Candidate
from qa_compare.measure.scoring import f1, match_kind
from qa_compare.page import theme

CANDIDATES = 5
# control characters get their pictures, one for one, so that nothing is invisible and offsets stay; half a surrogate
# pair, which cannot be sent, becomes the replacement character
_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"} | {0x7F: 0x2421}
_PICTURES |= dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
_NO_BAR = (
    '<div class="confidence"><span class="label">Confidence</span><span class="bar" aria-hidden="true"></span></div>'
)
_NO_CHANGE = '<p class="change"></p>'
_NO_ROW = '<li aria-hidden="true"><span class="bar"></span></li>'
_ICONS = {"exact": "✓", "partial": "≈", "wrong": "✕"}


@dataclass(frozen=True, slots=True)
class Shown:
    """How a card shows the passage, as HTML: the marked passage, what its region is called, and what stands around it.

    `before` and `after` take their room from the passage, so that a card keeps its size.
    """

    passage: str
    label: str
    before: str = ""
    after: str = ""


def text(value: str) -> str:
    """Any text, safe between tags and in attributes."""
    return escape(value.translate(_PICTURES))


def short(value: str, most: int) -> str:
    """The text, cut to `most` characters with an ellipsis where it is longer; not yet escaped."""
    return value if len(value) <= most else f"{value[: most - 1]}…"


def percent(share: float) -> str:
    """0.914 -> "91%"; what is close to none or all of it says so instead of 0% or 100%."""
    if 0 < share < 0.01:
        return "&lt;1%"
    if 0.99 < share < 1:
        return "&gt;99%"
    return f"{share:.0%}"


def duration(milliseconds: float) -> str:
    """23.4 -> "23 ms", 12_300 -> "12.3 s"."""
    return f"{milliseconds:.0f} ms" if milliseconds < 999.5 else f"{milliseconds / 1000:.1f} s"


def verdict(comparison: Comparison, gold: Sequence[Answer] = (), changed: str = "") -> str:
    """Who agrees with whom, the gold answers where they are known, what changed, and what to know about the run."""
    long = " long" if len(comparison.agreement) > 160 else ""
    lines: list[str] = []
    if gold:
        texts = list(dict.fromkeys(answer.text for answer in gold))
        label = "Gold answer" if len(texts) == 1 else "Gold answers"
        marks = ", ".join(f'“<mark class="gold">{text(one)}</mark>”' for one in texts)
        lines.append(f'<p class="note">{label}: {marks}</p>')
    else:
        lines.append('<p class="note">No gold answer is known for this text, so nobody is marked right or wrong.</p>')
    lines += [f'<p class="note changed">{text(changed)}</p>'] * bool(changed)
    lines += [f'<p class="note warning">{text(warning)}</p>' for warning in comparison.warnings]
    agreement = f'<p class="agreement{long}" dir="auto">{text(comparison.agreement)}</p>'
    return f'<div class="verdict">{agreement}<div class="notes">{"".join(lines)}</div></div>'


def failure(message: str) -> str:
    """One sentence in the place of the verdict."""
    long = " long" if len(message) > 100 else ""
    return f'<div class="verdict failed"><p class="agreement{long}">{text(_sentence(message))}</p></div>'


def notice(message: str, *, failed: bool = False) -> str:
    """A small line beside a control: what it holds, or what went wrong with it."""
    attributes = ' class="notice failed" role="alert"' if failed else ' class="notice"'
    return f'<p{attributes} title="{text(message)}">{text(_sentence(message))}</p>'


def _sentence(message: str) -> str:
    first = message.split(" ", 1)[0]
    if first.isalpha():  # neither a file's name nor a variant's
        message = message[0].upper() + message[1:]
    return message if message.endswith((".", "!", "?", "…")) else f"{message}."


def answers(
    comparison: Comparison,
    gold: Sequence[Answer] = (),
    shown: Mapping[str, Shown] | None = None,
    changes: Mapping[str, str] | None = None,
) -> str:
    """One equal card a variant. By variant, `shown` has what takes the place of the passage with its answer marked, and
    `changes` the line of HTML that says what became of its answer."""
    given, told = shown or {}, changes or {}
    return _row(
        _card(one, comparison.passage, gold, given.get(one.variant), told.get(one.variant, ""))
        for one in comparison.answers
    )


def pending() -> str:
    """The verdict's place before the first answer."""
    return '<div class="verdict"><p class="agreement empty">Asking the models…</p><p class="note">&nbsp;</p></div>'


def waiting(variants: Iterable[tuple[str, str]]) -> str:
    """Cards of the same size without answers, for (name, label) of each variant."""
    empty = '<p class="answer empty">–</p><p class="match"></p>'
    return _row(_frame(name, label, "", empty, "", _candidates(())) for name, label in variants)


def _row(cards: Iterable[str]) -> str:
    made = list(cards)
    return f'<div class="cards" style="--columns:{ {1: 1, 2: 2, 4: 2}.get(len(made), 3) }">{"".join(made)}</div>'


def _frame(
    name: str, label: str, time: str, answer: str, passage: str, candidates: str, bar: str = _NO_BAR, changed: str = ""
) -> str:
    place = passage or '<div class="how"><div class="passage"></div></div>'
    return (
        f'<article class="card" style="{theme.style(name)}" data-variant="{text(name)}" aria-label="{text(label)}">'
        f'<header><h2>{text(label)}</h2><span class="time">{time}</span></header>'
        f"{answer}{bar}{changed or _NO_CHANGE}{place}{candidates}</article>"
    )


def said(answer: str, size: str, label: str) -> str:
    """An answer in large letters; `size` is one of the style sheet's. The longest scroll, by keyboard too."""
    scrolls = f' tabindex="0" role="region" aria-label="Answer of {text(label)}"' if size == " longer" else ""
    return f'<p class="answer{size}" dir="auto"{scrolls}>{text(answer)}</p>'


def _card(answer: VariantAnswer, passage: str, gold: Sequence[Answer], shown: Shown | None, changed: str) -> str:
    prediction = answer.prediction
    if prediction is None or not prediction.candidates:
        reason = answer.problem or "It found no answer: the passage holds no word."
        body = f'<p class="answer empty">No answer</p><p class="match">{_badge("wrong", "Cannot answer")}</p>'
        place = f'<div class="how"><div class="passage problem"><p>{text(_sentence(reason))}</p></div></div>'
        return _frame(answer.variant, answer.label, "", body, place, _candidates(()))
    best = prediction.candidates[0]
    size = "" if len(best.text) <= 36 else " long" if len(best.text) <= 80 else " longer"
    golds = [one.text for one in gold]
    body = f'{said(best.text, size, answer.label)}<p class="match">{_match(best.text, golds)}</p>'
    shown = shown or Shown(
        highlight(passage, (best.start, best.end), places(gold)),
        f"Passage with the answer of {answer.label} highlighted",
        after=_read_in(prediction.windows),
    )
    place = (
        f'<div class="how">{shown.before}<div class="passage" tabindex="0" role="region" dir="auto" '
        f'aria-label="{text(shown.label)}">{shown.passage}</div>{shown.after}</div>'
    )
    return _frame(
        answer.variant,
        answer.label,
        duration(answer.latency_ms),
        body,
        place,
        _candidates(prediction.candidates),
        f'<div class="confidence"><span class="label">Confidence</span>{_bar(best.confidence)}</div>',
        changed,
    )


def _read_in(windows: int) -> str:
    """A line for a long passage; which window won is not known without computing it again."""
    told = f"Read in {windows:,} windows: the other views tell which won"
    return f'<p class="aside">{told}</p>' if windows > 1 else ""


def _match(answer: str, golds: Sequence[str]) -> str:
    if not golds:
        return ""
    kind = match_kind(answer, golds)
    words = {"exact": "Exact match", "partial": f"Partial match, F1 {percent(f1(answer, golds))}", "wrong": "Wrong"}
    return _badge(kind, words[kind])


def _badge(kind: str, words: str) -> str:
    return f'<span class="badge {kind}"><span aria-hidden="true">{_ICONS[kind]}</span> {words}</span>'


def _bar(share: float) -> str:
    return (
        f'<span class="bar" aria-hidden="true"><i style="width:{share:.1%}"></i></span>'
        f'<span class="number">{percent(share)}</span>'
    )


def _candidates(candidates: Sequence[Candidate]) -> str:
    rows = "".join(
        f'<li><span class="text" dir="auto" title="{text(one.text)}">{text(one.text)}</span>{_bar(one.confidence)}</li>'
        for one in candidates[:CANDIDATES]
    )
    return f'<div class="candidates"><h3>Best candidates</h3><ol>{rows or _NO_ROW * CANDIDATES}</ol></div>'


def places(gold: Sequence[Answer]) -> list[tuple[int, int]]:
    """The first and the last character of each gold answer in its passage, the latter excluded."""
    return [span for one in gold for span in one.spans]


def highlight(passage: str, predicted: tuple[int, int] | None, gold: Sequence[tuple[int, int]] = ()) -> str:
    """The passage with the predicted span and the gold spans marked, by character offsets; they may overlap."""
    spans = [("predicted", *predicted)] if predicted else []
    spans += [("gold", start, end) for start, end in gold]
    cuts = sorted({0, len(passage), *(cut for _, start, end in spans for cut in (start, end))})
    parts = []
    for start, end in pairwise(cuts):
        kinds = dict.fromkeys(kind for kind, first, last in spans if first <= start and end <= last)
        piece = text(passage[start:end])
        parts.append(f'<mark class="{" ".join(kinds)}">{piece}</mark>' if kinds else piece)
    return "".join(parts)
