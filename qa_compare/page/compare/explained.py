"""How a card came to its answer, as HTML: the passage with bars over its words, the words that count, the windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from qa_compare.data.examples import Answer
from qa_compare.inference.comparison import Comparison, VariantAnswer
from qa_compare.inference.engine import Engine
from qa_compare.inference.explanation import Explanation, Weight, WindowAnswer, Word, explain
from qa_compare.page.compare import cards
from qa_compare.page.compare.cards import Shown, highlight, percent, text

ANSWER, CHANCES, IMPORTANCE = "answer", "chances", "importance"
VIEWS = [("Answer", ANSWER), ("Start and end probability", CHANCES), ("Importance of the words", IMPORTANCE)]
TOP = 3  # words that are named below a passage, of each kind
_LEAST_CHANCE = 0.01  # at most a hundred words of a passage reach it: a long one stays light
_LEAST_SHARE = 0.05  # of the word that counts most
_LOWEST = 0.2  # of a bar's height: a lower one could not be seen
_LONG = 9  # characters: where there is no room, such words give way to the shorter ones
_UP = '<span class="word" style="--up:1">Bar above</span>'
_DOWN = '<span class="word" style="--down:1">striped bar below</span>'
_LEGENDS = {
    ANSWER: '<mark class="predicted">Tinted</mark>: the answer. <mark class="gold">Underlined</mark>: a gold answer.',
    CHANCES: f"{_UP}: the chance that the answer starts at the word; {_DOWN}: that it ends there; none below 1%.",
    IMPORTANCE: (
        f"{_UP}: how much the answer hangs on the word, next to the card’s others. Gradient × input estimates how far "
        "the log of the confidence would move without it."
    ),
}
_HIDDEN = ' aria-hidden="true"'
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Bar:
    """Characters `start:end` of a text with a bar above and one below, each 0 to 1 high; `says` is their tooltip."""

    start: int
    end: int
    up: float
    down: float
    says: str


def answers(
    engine: Engine,
    comparison: Comparison,
    gold: Sequence[Answer] = (),
    view: str = ANSWER,
    changes: Mapping[str, str] | None = None,
) -> str:
    """The legend and one card a variant, `changes` as in `cards.answers`. Only what the view shows is computed."""
    shown: dict[str, Shown] = {}
    if view != ANSWER:
        answered = {one.variant: one for one in comparison.answers if one.prediction and one.prediction.candidates}
        told = explain(engine, comparison.passage, comparison.question, [*answered], importance=view == IMPORTANCE)
        shown = {name: show(comparison, answered[name], cards.places(gold), found) for name, found in told.items()}
    return legend(view) + cards.answers(comparison, gold, shown, changes)


def waiting(variants: Iterable[tuple[str, str]], view: str = ANSWER) -> str:
    """The legend and cards without answers, for (name, label) of each variant."""
    return legend(view) + cards.waiting(variants)


def legend(view: str) -> str:
    """What the marks mean. All legends lie in one place, so that it has the longest one's height, and one is seen."""
    hide = {view: ""}
    lines = (f"<p{hide.get(name, _HIDDEN)}>{line}</p>" for name, line in _LEGENDS.items())
    return f'<div class="legend">{"".join(lines)}</div>'


def show(comparison: Comparison, answer: VariantAnswer, gold: Sequence[Span], found: Explanation) -> Shown:
    """A card's passage with its words' importance, where that was computed, or else with their chances."""
    assert answer.prediction
    best = answer.prediction.candidates[0]
    passage, predicted, won = comparison.passage, (best.start, best.end), next(one for one in found.windows if one.won)
    if found.importance is None:
        return Shown(
            strip(passage, chance_bars(found.words), predicted, gold),
            f"Passage with the answer of {answer.label} highlighted and the likely first and last words marked",
            after=_chance_words(passage, found.words) + windows(found.windows),
        )
    asked, read = found.importance.question, found.importance.passage
    # both texts on one scale: their bars can be compared
    most = max((abs(one.value) for one in (*asked, *read)), default=0.0)
    question = strip(comparison.question, weight_bars(asked, most), read=(0, asked[-1].end if asked else 0))
    return Shown(
        strip(passage, weight_bars(read, most), predicted, gold, (won.start, won.end)),
        f"Passage with the answer of {answer.label} highlighted and the words that count marked",
        before=f'<p class="passage asked" tabindex="0" role="region" aria-label="Question" dir="auto">{question}</p>',
        after=_weight_words(comparison, asked, read) + windows(found.windows),
    )


def chance_bars(words: Iterable[Word]) -> list[Bar]:
    """Up: the chance that the answer begins at the word; down: that it ends there."""
    return [
        Bar(
            word.start,
            word.end,
            _height(word.begins, _LEAST_CHANCE),
            _height(word.ends, _LEAST_CHANCE),
            f"start {percent(word.begins)}, end {percent(word.ends)}",
        )
        for word in words
        if max(word.begins, word.ends) >= _LEAST_CHANCE
    ]


def weight_bars(weights: Iterable[Weight], most: float) -> list[Bar]:
    """Up: how much the word counts, as high as `most` is 1. Its sign is not shown: see `benchmarks.importance`."""
    return [
        Bar(one.start, one.end, _height(abs(one.value) / most, _LEAST_SHARE), 0.0, f"importance {abs(one.value):.2f}")
        for one in weights
        if abs(one.value) > _LEAST_SHARE * most
    ]


def _height(share: float, least: float) -> float:
    return max(share, _LOWEST) if share >= least else 0.0


def strip(
    value: str,
    bars: Iterable[Bar],
    predicted: Span | None = None,
    gold: Sequence[Span] = (),
    read: Span | None = None,
) -> str:
    """A text with bars at its words and its spans marked; what lies outside the characters `read` is faint."""
    first, last = read or (0, len(value))

    def piece(start: int, end: int) -> str:
        clipped = ((max(one, start) - start, min(other, end) - start) for one, other in gold)
        own = (max(predicted[0], start) - start, min(predicted[1], end) - start) if predicted else (0, 0)
        marks = [span for span in clipped if span[0] < span[1]]
        return highlight(value[start:end], own if own[0] < own[1] else None, marks)

    def faint(start: int, end: int) -> str:
        return f'<span class="outside">{piece(start, end)}</span>' if start < end else ""

    parts, at = [faint(0, first)], first
    for bar in bars:
        style = "".join(f"--{name}:{size:.2f};" for name, size in (("up", bar.up), ("down", bar.down)) if size)
        word = f'<span class="word" style="{style}" title="{bar.says}">{piece(bar.start, bar.end)}</span>'
        parts += [piece(at, bar.start), word]
        at = bar.end
    return "".join([*parts, piece(at, last), faint(last, len(value))])


def _chance_words(passage: str, words: Sequence[Word]) -> str:
    lines = []
    for name, chance in (("Start", attrgetter("begins")), ("End", attrgetter("ends"))):
        best = sorted(words, key=chance, reverse=True)[:TOP]
        likely = [word for word in best if chance(word) >= _LEAST_CHANCE] or best[:1]
        lines.append((name, [(passage[word.start : word.end], percent(chance(word))) for word in likely]))
    return _top(*lines)


def _weight_words(comparison: Comparison, asked: Iterable[Weight], read: Iterable[Weight]) -> str:
    texts = (("Question", comparison.question, asked), ("Passage", comparison.passage, read))
    lines = []
    for name, value, weights in texts:
        most = sorted(weights, key=lambda one: -abs(one.value))[:TOP]
        lines.append((name, [(value[one.start : one.end], f"{abs(one.value):.2f}") for one in most if one.value]))
    return _top(*lines)


def _top(*lines: tuple[str, Sequence[tuple[str, str]]]) -> str:
    """The few words with most, in words: what the bars show, for those who cannot see them."""
    rows = (
        f"<div><dt>{name}</dt>" + ("".join(_told(word, number) for word, number in words) or "<dd>–</dd>") + "</div>"
        for name, words in lines
    )
    return f'<dl class="top">{"".join(rows)}</dl>'


def _told(word: str, number: str) -> str:
    long = ' class="long"' if len(word) > _LONG else ""
    return f"<dd{long}><bdi>{text(word)}</bdi> {number}</dd>"


def windows(found: Sequence[WindowAnswer]) -> str:
    """A map of the windows with the one that won; unfolded, the best answer of each. Nothing where there is but one."""
    if len(found) < 2:
        return ""
    length = max(one.end for one in found)
    winner = next((number for number, one in enumerate(found, 1) if one.won), 0)
    places = "".join(
        f'<i{_won(one)} style="left:{one.start / length:.2%};width:{(one.end - one.start) / length:.2%}"></i>'
        for one in found
    )
    rows = "".join(_window(number, one) for number, one in enumerate(found, 1))
    return (
        f'<details class="windows"><summary><span class="map" aria-hidden="true">{places}</span>'
        f"<span>Window {winner:,} of {len(found):,} won</span></summary>"
        f'<div class="each"><p>Each window’s best answer and its score</p>'
        f'<ol tabindex="0" aria-label="Windows">{rows}</ol></div></details>'
    )


def _window(number: int, one: WindowAnswer) -> str:
    best = f'<span class="text" dir="auto">{text(one.best.text)}</span>' if one.best else '<span class="text">–</span>'
    score = f"{one.best.score:.1f}".replace("-", "−") if one.best else "–"
    won = " · won" if one.won else ""
    return (
        f"<li{_won(one)}><small>{number:,} · characters {one.start + 1:,}–{one.end:,}{won}</small>"
        f'{best}<span class="number">{score}</span></li>'
    )


def _won(one: WindowAnswer) -> str:
    return ' class="won"' if one.won else ""
