"""Bytes of distinct parameters with three variants held, and what merged copies buy: python -m benchmarks.footprint

Bytes are counted by storage; the process's resident memory stands beside. LoRA merged is a copy of the matrices that it
changes; unmerged, it shares them with the base and multiplies twice more a layer. Writes benchmarks/footprint.json.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable, Sequence

import torch
from torch import nn

from benchmarks.measure import alternate, inputs, options, report, row, text, timed
from qa_compare.data.examples import Example
from qa_compare.inference.engine import Engine
from qa_compare.models import loading


def held(models: Iterable[nn.Module]) -> int:
    """Bytes of the distinct storages behind all parameters and buffers."""
    storages = {}
    for model in models:
        for tensor in (*model.parameters(), *model.buffers()):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    given = options(__doc__, argv, "footprint")
    engine = Engine(precision="fp32")
    base, merged, prompt = (engine.model(name) for name in ("base", "lora", "prompt-tuning"))
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    unmerged = loading.apply_adapter(engine.variant("lora"), engine.base, trainable=True).eval()
    batch = inputs(engine, [Example("", "", text(words=150), "What is this about?")])

    def forward(model: nn.Module) -> None:
        with torch.inference_mode():
            model(**batch)

    sides = {"merged": timed(lambda: forward(merged)), "unmerged": timed(lambda: forward(unmerged))}
    times = alternate(sides, given.rounds)
    one = [float(held([base]))]
    three = {"three variants": [float(held([base, merged, prompt]))], "one": one}
    shared = {"three variants": [float(held([base, unmerged, prompt]))], "one": one}
    goal = "at most 1.35, or the speed that merged copies buy"
    rows = [
        row("bytes of three variants over one", "three variants", "one", three, most=1.35, goal=goal),
        row("the same with LoRA unmerged", "three variants", "one", shared),
        row(
            "seconds of LoRA unmerged over merged", "unmerged", "merged", times, least=1.15, goal="worth the copy: 1.15"
        ),
    ]
    rows[0] |= {"peak_rss": rss, "reached": rows[0]["reached"] or rows[2]["reached"]}
    report(given, "parameters held, bytes, and a forward pass, seconds", rows)


if __name__ == "__main__":
    main()
