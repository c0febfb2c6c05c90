"""2,000 questions of SQuAD validation, one variant: python -m benchmarks.many_questions --squad dev-v1.1.json

In questions a second against the pipeline of transformers 4.57 (batch 32), against the report's loop (padded to 384,
fp32, batches of 8, start and end by argmax) and against the bare passes over the engine's own batches. Each round is
another tenth of the questions, so that every side answers all of them. The pipeline's scores are taken twice: as it
comes, with answers of up to 15 tokens, and with our 30. Writes benchmarks/many_questions.json.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from operator import eq
from typing import Any

import torch

from benchmarks.measure import SQUAD, Row, Side, alternate, options, report, row, squad_sample, timed
from benchmarks.peers import pipeline
from qa_compare.data.examples import Example
from qa_compare.inference.decoding import MAX_ANSWER_TOKENS
from qa_compare.inference.engine import Engine
from qa_compare.inference.scheduler import by_length
from qa_compare.measure.scoring import exact_match, f1, gold_texts
from qa_compare.models.features import MAX_LENGTH, pad

VARIANT, QUESTIONS, TENTHS = "lora", 2_000, 10
AS_LONG = f"pipeline, answers of up to {MAX_ANSWER_TOKENS} tokens"
BARE = "bare passes"
Answers = dict[str, list[str]]
Spent = tuple[float, list[str]]


def report_loop(engine: Engine, examples: Sequence[Example]) -> list[str]:
    """The report's way: every input cut or padded to 384 tokens, batches of 8, each edge of the answer by itself."""
    answers = []
    for first in range(0, len(examples), 8):
        some = examples[first : first + 8]
        batch: Any = engine.tokenizer(
            [one.question for one in some],
            [one.passage for one in some],
            truncation="only_second",
            padding="max_length",
            max_length=MAX_LENGTH,
            return_offsets_mapping=True,
            return_tensors="pt",
        )
        offsets = batch.pop("offset_mapping")
        with torch.no_grad():
            output = engine.model(VARIANT)(**batch)
        for one, place, start, end in zip(
            some, offsets, output.start_logits.argmax(1), output.end_logits.argmax(1), strict=True
        ):
            answers.append(one.passage[int(place[start, 0]) : int(place[end, 1])])
    return answers


def bare(engine: Engine, examples: Sequence[Example]) -> Spent:
    """Only `model(**inputs)` over the engine's own batches, and no answers."""
    windows = [window for one in engine.encode(examples) for window in one.windows]
    batches = [
        pad([windows[place] for place in places], engine.tokenizer.pad_token_id)
        for places in by_length(windows, **engine._limits)
    ]

    def passes() -> None:
        with torch.inference_mode(), engine._autocast():
            for batch in batches:
                engine.model(VARIANT)(**batch)

    return timed(passes)(), []


def spent(way: Callable[[Engine, Sequence[Example]], list[str]], engine: Engine, part: Sequence[Example]) -> Spent:
    """The seconds that one way of answering takes, and its answers."""
    begin = time.perf_counter()
    answers = way(engine, part)
    return time.perf_counter() - begin, answers


def ours(engine: Engine, examples: Sequence[Example]) -> list[str]:
    """The engine's way."""
    return [one.answer for one in engine.predict(examples, VARIANT, top=1)]


def measure(examples: Sequence[Example], rounds: int, threads: int) -> tuple[dict[str, list[float]], Answers]:
    """Seconds of each side and round, and each side's answers to all questions; a first round warms up."""
    same, bf16 = Engine(precision="fp32"), Engine(precision="bf16")
    bf16._loaded = same._loaded
    step = len(examples) // rounds
    parts = [examples[first : first + step] for first in (0, *range(0, step * rounds, step))]
    answers: dict[str, list[list[str]]] = {}

    def turns(name: str, side: Callable[[Sequence[Example]], Spent]) -> Side:
        coming, answers[name] = iter(parts), []

        def turn() -> float:
            seconds, found = side(next(coming))
            answers[name].append(found)
            return seconds

        return turn

    with pipeline(same, (VARIANT,), threads) as peer:
        sides: dict[str, Callable[[Sequence[Example]], Spent]] = {
            "fp32": partial(spent, ours, same),
            "auto": partial(spent, ours, Engine(precision="auto")),
            "report's loop": partial(spent, report_loop, same),
            BARE: partial(bare, same),
            "pipeline": peer,
            AS_LONG: partial(peer, max_answer_len=MAX_ANSWER_TOKENS),
            "bf16": partial(spent, ours, bf16),
        }
        seconds = alternate({name: turns(name, side) for name, side in sides.items()}, rounds)
    for name in (AS_LONG, "bf16"):  # these two are asked for their answers alone
        del seconds[name]
    del answers[BARE]
    return seconds, {name: list(chain(*found[1:])) for name, found in answers.items()}


def scores(examples: Sequence[Example], answers: Answers) -> dict[str, dict[str, float]]:
    """Of each side, in percent: exact match, F1, and the answers that are the same as in fp32."""
    golds = [gold_texts(one) for one in examples[: len(answers["fp32"])]]
    return {
        name: {
            "exact_match": 100 * statistics.mean(map(exact_match, got, golds)),
            "f1": 100 * statistics.mean(map(f1, got, golds)),
            "same_as_fp32": 100 * statistics.mean(map(eq, got, answers["fp32"])),
        }
        for name, got in answers.items()
    }


def rows(seconds: dict[str, list[float]], found: dict[str, dict[str, float]]) -> list[Row]:
    """Against the pipeline, with how far the scores are apart, against the report's loop, and against the limit."""
    apart = {key: found["fp32"][key] - found[AS_LONG][key] for key in ("exact_match", "f1")}
    close = all(abs(value) <= 0.3 for value in apart.values())
    more = {"apart": apart, "apart_from": AS_LONG, "apart_goal": "at most 0.3", "apart_reached": close}
    return [
        row("pipeline over fp32, one variant", "pipeline", "fp32", seconds, least=3) | {"scores": found} | more,
        row("pipeline over auto, one variant", "pipeline", "auto", seconds),
        row("report's loop over fp32", "report's loop", "fp32", seconds, least=5),
        row("fp32 over the bare passes", "fp32", BARE, seconds),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "many_questions", squad=SQUAD)
    rounds = 2 if given.quick else TENTHS
    examples = squad_sample(given.squad, 16 if given.quick else QUESTIONS)
    seconds, answers = measure(examples, rounds, given.threads)
    report(given, f"{len(examples):,} questions of SQuAD validation, seconds", rows(seconds, scores(examples, answers)))


if __name__ == "__main__":
    main()
