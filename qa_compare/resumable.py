"""One pass of a variant over many questions, of which a killed process loses one chunk at most.

Every chunk's answers are appended to a file as they come: offsets and scores, no text. A pass that is begun again
reads what is there and answers the rest. Chunks are cut alike in every run, and windows share a batch within a chunk
only, so that the result is the same however often a pass was cut, and in however many processes it ran.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qa_compare.decoding import decode, log_normaliser, span_scores
from qa_compare.engine import Engine
from qa_compare.errors import UserError
from qa_compare.examples import Example
from qa_compare.files import sha256
from qa_compare.processes import Team
from qa_compare.variants import ADAPTER_FILE, CONFIG_FILE, HEAD_FILE, VARIANT_FILE

CHUNK = 256
_SPANS = 2  # counts up when decoding gives other answers to the same logits: partial results from before are not taken
_DECIDE = (VARIANT_FILE, CONFIG_FILE, ADAPTER_FILE, HEAD_FILE)
_DECIDE_IN_CHECKPOINT = ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt")


@dataclass(frozen=True, slots=True)
class Answered:
    """The best span of a question: characters of the passage, its score (logits), its confidence (0 to 1) at the
    variant's temperature and, `uncalibrated`, at 1. `start`, `end` and `score` are None where there is no answer.
    `null` is the score (logits) of answering nothing, `Prediction.no_answer_score`."""

    id: str
    start: int | None
    end: int | None
    score: float | None
    confidence: float
    uncalibrated: float
    windows: int
    null: float


@dataclass(frozen=True, slots=True)
class Pass:
    """All answers in the examples' order, and the seconds it took to find them, loading left out. A chunk's seconds are
    divided by the number of processes that worked side by side when it was answered."""

    answered: tuple[Answered, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class _Chunk:
    number: int
    seconds: float
    team: int  # processes that worked side by side then: a resumed pass may have another number
    rows: list[Answered]


class Work:
    """The part of a pass that this process has to do, after what `folder` holds of earlier ones. Loads the variant.

    Raises:
        UserError: the variant cannot be loaded, or the folder not be written.
    """

    def __init__(self, engine: Engine, examples: Sequence[Example], variant: str, folder: Path, team: Team) -> None:
        self.engine, self.loaded, self.folder, self.team = engine, engine.load(variant), folder, team
        self._chunks = [examples[first : first + CHUNK] for first in range(0, len(examples), CHUNK)]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._known = _read(folder, self._chunks)
        except OSError as error:
            raise UserError(f"{folder} cannot keep the partial results: {error.strerror}") from error
        # asked of all: other machines have other disks; and before anybody writes, so that all mean the same chunks
        found = set(team.gather(list(self._known)))
        rest = [number for number in range(len(self._chunks)) if number not in found]
        self._mine = rest[team.index :: team.count]
        self.found = sum(len(self._chunks[number]) for number in self._known)
        self.total = self.found + sum(len(self._chunks[number]) for number in self._mine)

    def run(self, progress: Callable[[int, int], None]) -> Pass:
        """Answer what is left; every process of the team gets the whole. `progress(done, total)` counts this one's."""
        done = self.found
        # One write a chunk, led by a line break: what a killed process left half written ends there and is passed over
        with (self.folder / f"{self.team.index}.jsonl").open("ab", buffering=0) as file:
            for number in self._mine:
                begin = time.perf_counter()
                rows = self._answer(self._chunks[number])
                chunk = _Chunk(number, time.perf_counter() - begin, self.team.count, rows)
                file.write(b"\n" + json.dumps(astuple(chunk)).encode())
                self._known[number] = chunk
                done += len(rows)
                progress(done, self.total)
        chunks = {chunk.number: chunk for chunk in self.team.gather(list(self._known.values()))}
        ordered = [chunks[number] for number in range(len(self._chunks))]
        seconds = sum(chunk.seconds / chunk.team for chunk in ordered)
        return Pass(tuple(row for chunk in ordered for row in chunk.rows), seconds)

    def forget(self) -> None:
        """Remove the partial results, once the whole is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answer(self, examples: Sequence[Example]) -> list[Answered]:
        temperature = self.loaded.variant.temperature
        encoded = self.engine.encode(examples)
        rows = []
        for one, (starts, ends) in zip(encoded, self.engine.logits(encoded, self.loaded), strict=True):
            prediction = decode(one, starts, ends, temperature=temperature, top=1)
            more = (prediction.windows, prediction.no_answer_score)
            if not prediction.candidates:
                rows.append(Answered(prediction.id, None, None, None, 0.0, 0.0, *more))
                continue
            [best] = prediction.candidates
            plain = best.confidence
            if temperature != 1:
                plain = float(np.exp(best.score - log_normaliser(span_scores(one, starts, ends).scores)))
            rows.append(Answered(prediction.id, best.start, best.end, best.score, best.confidence, plain, *more))
        return rows


def _read(folder: Path, chunks: Sequence[Sequence[Example]]) -> dict[int, _Chunk]:
    """The whole chunks in the folder's files; whatever else stands there is passed over."""
    found = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            try:
                number, seconds, team, rows = json.loads(line)
                chunk = _Chunk(number, seconds, team, [Answered(*row) for row in rows])
                if seconds / team >= 0 and [row.id for row in chunk.rows] == [example.id for example in chunks[number]]:
                    found[chunk.number] = chunk
            except (ValueError, TypeError, IndexError, ZeroDivisionError):
                continue
    return found


def key(engine: Engine, variant: str, fingerprint: str) -> str:
    """A name for the folder of a pass: the same only where data, weights, precision, batches and decoding are the same.

    Raises:
        UserError: the backbone's weights are not there, or a file cannot be read.
    """
    folders = [engine.variant(name).folder for name in ("base", variant)]
    files = [folder / name for folder in folders if folder for name in _DECIDE]
    files += [engine.located.folder / name for name in _DECIDE_IN_CHECKPOINT]
    hashes = [sha256(path) if path.is_file() else None for path in files]
    hashes += engine.variant(variant).sha256.values()  # a model that was brought lies in none of the folders
    parts: list[Any] = [fingerprint, engine.precision, engine.device.type, engine.batch_size, CHUNK, _SPANS, hashes]
    return f"{engine.backbone}-{variant}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"
