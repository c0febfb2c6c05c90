"""What might have made inference faster, kept or not: python -m benchmarks.candidates --squad dev-v1.1.json

Where one question's time goes; the rate of matrix products by number format; how fast and how true to fp32 the LoRA
variant answers in other formats; and the batch that a processor is fastest with. Writes benchmarks/candidates.json.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.measure import SQUAD, alternate, options, row, squad_sample, text, timed, write
from benchmarks.one_question import QUESTION
from qa_compare.data.examples import Example
from qa_compare.inference.decoding import decode
from qa_compare.inference.engine import Engine
from qa_compare.inference.scheduler import Turns

VARIANT = "lora"
# which of the encoder's linear layers are int8, and whether each row of a matrix has its own scale
INT8: dict[str, tuple[Callable[[str], bool], bool]] = {
    "int8, one scale a matrix": (lambda name: True, False),
    "int8": (lambda name: True, True),
    "int8 but for the second feed-forward layer": (lambda name: "attention" in name or "intermediate" in name, True),
    "int8 for query, key and value": (lambda name: ".self." in name, True),
}
BATCHES = (256, 1_024, 12_288)


def int8(model: nn.Module, chosen: Callable[[str], bool], per_row: bool) -> nn.Module:
    """A copy whose chosen linear layers multiply int8, activations quantised as they come; the head stays fp32."""
    quantize: Any = torch.ao.quantization
    config = quantize.per_channel_dynamic_qconfig if per_row else quantize.default_dynamic_qconfig
    names = [name for name, one in model.named_modules() if isinstance(one, nn.Linear) and "qa_outputs" not in name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torchao, its successor, is another package
        torch.backends.quantized.engine = "onednn"
        return quantize.quantize_dynamic(model, {name: config for name in names if chosen(name)}, torch.qint8)


def formats(examples: Sequence[Example]) -> dict[str, Any]:
    """Seconds in all, and percent of answers that are those of fp32, by format."""
    engines = {"fp32": Engine(precision="fp32"), "bf16": Engine(precision="bf16")}
    model = engines["fp32"].model(VARIANT)
    changed = {name: int8(model, *settings) for name, settings in INT8.items()}
    for name, one in changed.items():
        engines[name] = Engine(precision="fp32")
        loaded = engines["fp32"].load(VARIANT)
        engines[name]._loaded[VARIANT] = replace(loaded, model=one)
    answers: dict[str, list[str]] = {}
    seconds = {}
    for name, engine in engines.items():
        engine.predict(examples[:4], VARIANT)

        def work(name: str = name, engine: Engine = engine) -> None:
            answers[name] = [one.answer for one in engine.predict(examples, VARIANT, top=1)]

        seconds[name] = timed(work)()
    return {
        name: {
            "seconds": seconds[name],
            "times_as_fast_as_fp32": seconds["fp32"] / seconds[name],
            "same_as_fp32": 100 * statistics.mean(a == b for a, b in zip(got, answers["fp32"], strict=True)),
        }
        for name, got in answers.items()
    }


def stages(rounds: int) -> dict[str, float]:
    """Milliseconds of each stage of one question."""
    engine = Engine(precision="fp32")
    asked = Example("", "", text(words=150), QUESTION)
    [encoded] = engine.encode([asked])
    [logits] = engine.logits([encoded], VARIANT)
    found = alternate(
        {
            "tokenising": timed(lambda: engine.encode([asked])),
            "one forward pass": timed(lambda: engine.logits([encoded], VARIANT)),
            "decoding": timed(lambda: decode(encoded, *logits)),
        },
        rounds,
    )
    return {name: 1000 * statistics.median(values) for name, values in found.items()}


def products(rounds: int) -> dict[str, float]:
    """GFLOP/s of a feed-forward layer's product by number format."""
    rates = {}
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        left, right = torch.ones(512, 384, dtype=kind), torch.ones(384, 1536, dtype=kind)
        [seconds] = alternate({"": timed(partial(torch.mm, left, right))}, rounds).values()
        rates[str(kind).removeprefix("torch.")] = 2 * 512 * 384 * 1536 / statistics.median(seconds) / 1e9
    return rates


def batches(examples: Sequence[Example], rounds: int) -> dict[str, Any]:
    """Seconds by the tokens that a batch may have."""
    engine = Engine(precision="fp32")

    def work(tokens: int) -> None:
        engine._limits = {"rows": 32, "tokens": tokens}
        engine._turns = Turns(engine._forward, **engine._limits)
        engine.predict(examples, VARIANT, top=1)

    sides = {f"{tokens} tokens": timed(partial(work, tokens)) for tokens in BATCHES}
    found = alternate(sides, rounds)
    return row("batches of 32 rows over batches of 1,024 tokens", "12288 tokens", "1024 tokens", found)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "candidates", squad=SQUAD)
    examples = squad_sample(given.squad, 8 if given.quick else 500)
    found = {
        "stages_ms": stages(given.rounds),
        "matrix_gflops": products(given.rounds),
        "batches": batches(examples[:64], 2 if given.quick else 7),
        "formats": formats(examples),
    }
    print("ms:", {name: round(value, 2) for name, value in found["stages_ms"].items()})
    print("GFLOP/s:", {name: round(value) for name, value in found["matrix_gflops"].items()})
    print(f"{found['batches']['what']}: {found['batches']['ratio']:.2f}")
    for name, one in found["formats"].items():
        print(f"{name}: {one['times_as_fast_as_fp32']:.2f} times, {one['same_as_fp32']:.1f} % as fp32")
    write(given, f"candidates, {len(examples)} questions of SQuAD validation", found)


if __name__ == "__main__":
    main()
