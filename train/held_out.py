"""What a model says to held-out questions: its logits, and the temperature under which its confidence is honest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from qa_compare.inference.decoding import Floats, decode, span_scores
from qa_compare.measure.calibration import confidence_at, fit_temperature
from qa_compare.measure.scoring import exact_match, gold_texts
from qa_compare.models.features import Encoded, pad

Logits = list[tuple[Floats, Floats]]  # start and end, for each window of a question
MOST = 1_000  # questions to calibrate on: they hold some 20 MB of span scores
_FEWEST = 50  # a handful of questions says nothing of how often a confidence is right
_BATCH = 32


def logits(model: nn.Module, encoded: Sequence[Encoded], pad_token_id: int, *, segments: bool = True) -> list[Logits]:
    """Start and end logits of every question's windows, in fp32; without `segments` the model is not told which
    tokens are the passage's. Rows may be longer than their window."""
    device = next(model.parameters()).device
    windows = [(row, window) for row, one in enumerate(encoded) for window in one.windows]
    windows.sort(key=lambda pair: -len(pair[1].input_ids))
    found: list[dict[int, tuple[Floats, Floats]]] = [{} for _ in encoded]
    model.eval()
    for first in range(0, len(windows), _BATCH):
        some = windows[first : first + _BATCH]
        batch = pad([window for _, window in some], pad_token_id)
        if not segments:
            del batch["token_type_ids"]
        with torch.inference_mode():
            output = model(**{name: tensor.to(device) for name, tensor in batch.items()})
        starts, ends = (tensor.float().cpu().numpy() for tensor in (output.start_logits, output.end_logits))
        for (row, window), start, end in zip(some, starts, ends, strict=True):
            found[row][window.first_token] = (start, end)
    return [[pairs[window.first_token] for window in one.windows] for one, pairs in zip(encoded, found, strict=True)]


def calibration(model: nn.Module, encoded: Sequence[Encoded], pad_token_id: int) -> dict[str, Any] | None:
    """The temperature fitted on (at most 1,000 of) these questions, and the loss in nats a question without and with
    it; None where they are fewer than 50, or all are answered alike."""
    encoded = encoded[:MOST]
    scores, right = [], []
    for one, pairs in zip(encoded, logits(model, encoded, pad_token_id), strict=True):
        starts, ends = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        scores.append(span_scores(one, starts, ends).scores)
        answer = decode(one, starts, ends, top=1).answer
        right.append(exact_match(answer, gold_texts(one.example)))
    if len(right) < _FEWEST or len(set(right)) < 2:
        return None
    fit = fit_temperature(confidence_at(scores), right)
    return {
        "questions": len(right),
        "temperature": round(fit.temperature, 4),
        "loss_before": fit.loss_before,
        "loss": fit.loss,
    }
