"""Whether gradient x input, as the page shows it, follows what happens when a word is masked.

python -m benchmarks.importance

Questions of the built-in sample, spread over it. Each word of a question and of its passage in turn is replaced by
[MASK], and the answer's log confidence is computed anew. Printed, and written to benchmarks/importance.json: the rank
correlation (Spearman's, over a question's words; the mean over the questions) of a word's importance and of how far
masking it moves the log confidence, by size, as the page shows it, and with the sign.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from qa_compare.data.examples import Example
from qa_compare.data.sources import sample
from qa_compare.files import write_json
from qa_compare.inference.decoding import layout
from qa_compare.inference.engine import Engine
from qa_compare.inference.explanation import Importance, explain, log_confidence
from qa_compare.models.features import Encoded, pad

OUTPUT = Path(__file__).parent / "importance.json"
BATCH = 32


def main() -> None:
    """Measure the default variants on some questions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--backbone", default="minilm-l6-qa")
    parser.add_argument("--questions", type=int, default=8, help="how many; default: 8")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    engine = Engine(options.backbone, precision="fp32")
    questions = sample()[:: max(1, len(sample()) // options.questions)][: options.questions]
    results = {}
    for variant in engine.default_variants:
        rows = [correlations(engine, example, variant) for example in questions]
        size, signed = (round(float(mean), 2) for mean in np.mean(rows, axis=0))
        results[variant] = {"size": size, "signed": signed}
        sys.stdout.write(f"{variant}: rank correlation {size:.2f} by size, {signed:.2f} with the sign\n")
        sys.stdout.flush()
    write_json(options.output, {"backbone": engine.backbone, "questions": len(questions), "results": results})


def correlations(engine: Engine, example: Example, variant: str) -> tuple[float, float]:
    """Spearman's, over the words of one question and its passage: by size, and with the sign."""
    told = explain(engine, example.passage, example.question, [variant], importance=True)[variant]
    assert told.importance
    values = np.array([one.value for one in (*told.importance.question, *told.importance.passage)])
    drops = masked(engine, example, variant, told.importance)
    return float(spearmanr(abs(values), abs(drops))[0]), float(spearmanr(values, drops)[0])


def masked(engine: Engine, example: Example, variant: str, importance: Importance) -> NDArray[np.float64]:
    """How far the answer's log confidence sinks when each word, the question's first, is masked."""
    encoded, asked = engine.encode([example, Example("", "", example.question, example.question)])
    [window] = encoded.windows  # the sample's passages are short
    ids = [torch.from_numpy(window.input_ids)]
    for words, offsets, first in (
        (importance.question, asked.offsets, 1),
        (importance.passage, encoded.offsets, window.passage_start),
    ):
        for word in words:
            tokens = np.flatnonzero((offsets[:, 0] >= word.start) & (offsets[:, 0] < word.end)) + first
            changed = ids[0].clone()
            changed[tokens] = engine.tokenizer.mask_token_id
            ids.append(changed)
    [prediction] = engine.predict([example], variant, top=1)
    best = prediction.candidates[0]
    found = _log_confidences(engine, variant, encoded, torch.stack(ids), (best.start, best.end))
    return found[0] - found[1:]


def _log_confidences(
    engine: Engine, variant: str, encoded: Encoded, ids: torch.Tensor, answer: tuple[int, int]
) -> NDArray[np.float64]:
    [window] = encoded.windows
    table = layout(encoded)
    inside = slice(window.passage_start, window.passage_start + window.passage_tokens)
    temperature = engine.variant(variant).temperature
    found = []
    for some in ids.split(BATCH):
        batch = pad([window] * len(some), 0) | {"input_ids": some}
        with torch.inference_mode():
            output = engine.model(variant)(**{name: tensor.to(engine.device) for name, tensor in batch.items()})
        for start, end in zip(output.start_logits, output.end_logits, strict=True):
            found.append(float(log_confidence(start[inside], end[inside], table, answer, temperature)))
    return np.array(found)


if __name__ == "__main__":
    main()
