"""2,000 questions of SQuAD validation, one variant: python -m benchmarks.many_questions --squad dev-v1.1.json

In questions a second against the pipeline of transformers 4.57 (batch 32), against the report's loop (padded to 384,
fp32, batches of 8, start and end by argmax) and against the bare passes over the engine's own batches. Each round is
another tenth of the questions, so that every side answers all of them. The pipeline's scores are taken twice: as it
comes, with answers of up to 15 tokens, and with our 30. Writes benchmarks/many_questions.json.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.measure import SQUAD, Row, options, report, row, squad_sample, timed
from benchmarks.peers import Pipeline, pipeline
from qa_compare.data.examples import Example
from qa_compare.inference.decoding import MAX_ANSWER_TOKENS
from qa_compare.inference.engine import Engine
from qa_compare.inference.scheduler import by_length
from qa_compare.measure.scoring import exact_match, f1, gold_texts
from qa_compare.models.features import MAX_LENGTH, pad

VARIANT, QUESTIONS, TENTHS = "lora", 2_000, 10
AS_LONG = f"pipeline, answers of up to {MAX_ANSWER_TOKENS} tokens"
Answers = dict[str, list[str]]


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


def bare(engine: Engine, examples: Sequence[Example]) -> float:
    """The seconds of `model(**inputs)` over the engine's own batches, and of nothing else."""
    windows = [window for one in engine.encode(examples) for window in one.windows]
    batches = [
        pad([windows[place] for place in places], engine.tokenizer.pad_token_id)
        for places in by_length(windows, **engine._limits)
    ]

    def passes() -> None:
        with torch.inference_mode(), engine._autocast():
            for batch in batches:
                engine.model(VARIANT)(**batch)

    return timed(passes)()


def measure(examples: Sequence[Example], rounds: int, threads: int) -> tuple[dict[str, list[float]], Answers]:
    """Seconds of each side and round, and each side's answers to all questions; a first round warms up."""
    fastest, same = Engine(precision="auto"), Engine(precision="fp32")
    step = len(examples) // rounds
    parts = [examples[:step], *(examples[first : first + step] for first in range(0, step * rounds, step))]
    names = ("fp32", "auto", "report's loop", "pipeline", "bare passes")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    answers: Answers = {name: [] for name in (*names[:-1], "bf16", AS_LONG)}
    with pipeline(same, (VARIANT,), threads) as peer:
        for number, part in enumerate(parts):
            spent, found = one_round(part, fastest, same, peer)
            if number:
                for name, value in spent.items():
                    seconds[name].append(value)
                for name, got in found.items():
                    answers[name] += got
    return seconds, answers


def one_round(
    part: Sequence[Example], fastest: Engine, same: Engine, peer: Pipeline
) -> tuple[dict[str, float], Answers]:
    """Seconds and answers of each side for one part of the questions."""
    found: Answers = {}

    def ours(engine: Engine, name: str) -> None:
        found[name] = [one.answer for one in engine.predict(part, VARIANT, top=1)]

    def theirs() -> None:
        found["report's loop"] = report_loop(same, part)

    spent = {
        "fp32": timed(lambda: ours(same, "fp32"))(),
        "auto": timed(lambda: ours(fastest, "auto"))(),
        "report's loop": timed(theirs)(),
        "bare passes": bare(same, part),
    }
    spent["pipeline"], found["pipeline"] = peer.answer(part)
    _, found[AS_LONG] = peer.answer(part, max_answer_len=MAX_ANSWER_TOKENS)
    ours(_bf16(same), "bf16")
    return spent, found


def _bf16(engine: Engine) -> Engine:
    """An engine of the same models in bfloat16, for the share of its answers that agree with fp32."""
    other = Engine(precision="bf16")
    other._loaded = engine._loaded
    return other


def scores(examples: Sequence[Example], answers: Answers) -> dict[str, Any]:
    """Of each side, in percent: exact match, F1, and the answers that are the same as in fp32."""
    return {
        name: {
            "exact_match": 100 * statistics.mean(exact_match(a, gold) for a, gold in _pairs(examples, got)),
            "f1": 100 * statistics.mean(f1(a, gold) for a, gold in _pairs(examples, got)),
            "same_as_fp32": 100 * statistics.mean(a == b for a, b in zip(got, answers["fp32"], strict=True)),
        }
        for name, got in answers.items()
    }


def _pairs(examples: Sequence[Example], answers: Sequence[str]) -> list[tuple[str, list[str]]]:
    return list(zip(answers, map(gold_texts, examples), strict=False))


def rows(seconds: dict[str, list[float]], found: dict[str, Any]) -> list[Row]:
    """Against the pipeline, with how far the scores are apart, against the report's loop, and against the limit."""
    apart = {key: found["fp32"][key] - found[AS_LONG][key] for key in ("exact_match", "f1")}
    against = row("pipeline over fp32, one variant", "at least 3", "pipeline", "fp32", seconds, least=3)
    close = all(abs(value) <= 0.3 for value in apart.values())
    return [
        against
        | {"scores": found, "apart": apart, "apart_from": AS_LONG, "apart_goal": "at most 0.3", "apart_reached": close},
        row("pipeline over auto, one variant", "", "pipeline", "auto", seconds),
        row("report's loop over fp32", "at least 5", "report's loop", "fp32", seconds, least=5),
        row("fp32 over the bare passes", "", "fp32", "bare passes", seconds),
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
