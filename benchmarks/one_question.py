"""One question about a passage of 150 words, by three variants: python -m benchmarks.one_question

Against three bare forward passes at the same lengths (the prompt's virtual tokens counted in), against three calls of
the pipeline of transformers 4.57, and against the same question again. Writes benchmarks/one_question.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import torch

from benchmarks.measure import Row, alternate, forgetful, inputs, options, report, row, text, timed
from benchmarks.peers import pipeline
from qa_compare.data.examples import Example
from qa_compare.inference.engine import Engine

QUESTION = "What is this passage about?"
OURS, LIMIT, PEER = "three variants", "three bare passes", "three pipeline calls"


def bare(engine: Engine, passage: str) -> Any:
    """Three passes of plain BERT at the lengths that the three variants read, nothing around them."""
    batch = inputs(engine, [Example("", "", passage, QUESTION)])
    prompt: Any = engine.model("prompt-tuning")
    longer = {
        name: torch.nn.functional.pad(tensor, (0, prompt.virtual_tokens), value=int(name == "attention_mask"))
        for name, tensor in batch.items()
    }
    models = [engine.model("base"), engine.model("lora"), engine.model("base")]

    def three() -> None:
        with torch.inference_mode(), engine._autocast():
            for model, inputs in zip(models, (batch, batch, longer), strict=True):
                model(**inputs)

    return three


def against_bare(passage: str, precision: str, rounds: int) -> Row:
    """The first row: what is around the model, at one precision."""
    engine = forgetful(Engine(precision=precision))
    sides = {OURS: timed(lambda: engine.compare(passage, QUESTION)), LIMIT: timed(bare(engine, passage))}
    what = f"one question, three variants, over {LIMIT}, {precision}"
    return row(what, OURS, LIMIT, alternate(sides, rounds), most=1.15)


def against_pipeline(passage: str, rounds: int, threads: int) -> list[Row]:
    """Three calls of the pipeline in fp32 over ours in fp32, the default, and over ours in the faster precision."""
    same, fastest = forgetful(Engine(precision="fp32")), forgetful(Engine(precision="auto"))
    auto = f"auto ({fastest.precision})"
    asked = [Example("", "", passage, QUESTION)]
    with pipeline(same, ("base", "lora", "base"), threads) as peer:
        sides = {
            PEER: lambda: peer(asked)[0],
            "fp32": timed(lambda: same.compare(passage, QUESTION)),
            auto: timed(lambda: fastest.compare(passage, QUESTION)),
        }
        found = alternate(sides, rounds)
    return [row(f"{PEER} over fp32", PEER, "fp32", found, least=2.5), row(f"{PEER} over {auto}", PEER, auto, found)]


def again(passage: str, rounds: int) -> Row:
    """A question that was never asked over the same one again."""
    engine, number = Engine(), count()
    asked = ""

    def new() -> None:
        nonlocal asked
        asked = f"{QUESTION} {next(number)}"
        engine.compare(passage, asked)

    found = alternate({"new": timed(new), "again": timed(lambda: engine.compare(passage, asked))}, rounds)
    return row("a question over the same one again", "new", "again", found, least=50)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "one_question")
    passage = text(words=150)
    precisions = dict.fromkeys(["fp32", Engine(precision="auto").precision])
    rows = [against_bare(passage, precision, given.rounds) for precision in precisions]
    rows.append(again(passage, given.rounds))
    rows += against_pipeline(passage, given.rounds, given.threads)
    report(given, "one question about a passage of 150 words, seconds", rows)


if __name__ == "__main__":
    main()
