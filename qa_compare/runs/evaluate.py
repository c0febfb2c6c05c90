"""One pass of a variant over many questions, of which a killed process loses one chunk at most, and its scores.

Every chunk's answers are appended to a file as they come: offsets and scores, no text. A pass that is begun again
reads what is there and answers the rest. Chunks are cut alike in every run, and windows share a batch within a chunk
only, so that the result is the same however often a pass was cut, and in however many processes it ran
(`accelerate launch -m qa_compare evaluate …`). The answers of a pass, or saved ones, become `metrics.json` and
`predictions.parquet`: scores with intervals, calibration and slices.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from qa_compare.data.examples import Example, fingerprint
from qa_compare.errors import UserError
from qa_compare.files import sha256
from qa_compare.inference.decoding import decode, log_normaliser, span_scores
from qa_compare.inference.engine import Engine
from qa_compare.measure.bertscore import BertScorer
from qa_compare.measure.calibration import expected_calibration_error, reliability_table
from qa_compare.measure.scoring import Counts, Squad2, gold_texts, has_gold, score, squad2
from qa_compare.measure.slices import SliceScores, slices
from qa_compare.measure.statistics import numbered
from qa_compare.models.variants import ADAPTER_FILE, CONFIG_FILE, HEAD_FILE, VARIANT_FILE
from qa_compare.runs.records import (
    BertScore,
    Calibration,
    CalibrationError,
    Dataset,
    Estimate,
    Metrics,
    PredictionTable,
    Reliability,
)
from qa_compare.runs.store import answers, in_order

Item = TypeVar("Item")

# A share can take hours longer on a slow machine than on a fast one; the library would give up after ten minutes.
_PATIENCE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Team:
    """This process among `count`, numbered from 0; number 0 prints and writes. `device` is None for one alone."""

    index: int = 0
    count: int = 1
    device: str | None = None
    _state: Any = None

    @property
    def main(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.index == 0

    def gather(self, items: list[Item]) -> list[Item]:
        """All processes' items, those of process 0 first; every process must call it, and waits for the others."""
        if self.count == 1:
            return items
        from accelerate.utils import gather_object

        found: list[Item] = gather_object(items)
        return found

    def leave(self) -> None:
        """Wait for the others and end what connects them."""
        if self._state is not None:
            self._state.wait_for_everyone()
            self._state.destroy_process_group()


def team() -> Team:
    """The processes that a launcher started, this one among them."""
    from accelerate.utils.environment import get_cpu_distributed_information  # the launchers of all kinds

    if get_cpu_distributed_information().world_size == 1:
        return Team()
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available(), timeout=_PATIENCE)
    return Team(state.process_index, state.num_processes, str(state.device), state)


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


Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

_SAME = 1e-6  # percent: what adding in another order may change of a mean


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One variant on one data set: its scores, and its answers a row each in the examples' order."""

    metrics: Metrics
    predictions: PredictionTable


def evaluate(
    examples: Sequence[Example],
    result: Pass,
    *,
    name: str,
    temperature: float,
    precision: str,
    scorer: BertScorer | None = None,
    weights: dict[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score a pass over `examples`; `name` is the data set's, `temperature` the one that the confidences are at.

    Without a `scorer` there is no BERTScore; `progress` counts what it has scored. `weights` is kept as it is. All
    scores, slices and calibration are over the questions that have gold answers, of which there must be one. Intervals
    are 95 % bootstraps of 10,000 resamples, always of the same seed, over articles or passages (`statistics.choose`).

    Raises:
        UserError: BERTScore's encoder cannot be loaded.
        ValueError: the pass is over other questions, or none of them has a gold answer.
    """
    texts = [_text(row, example) for row, example in zip(result.answered, examples, strict=True)]
    meaning = scorer.score(texts, [gold_texts(example) for example in examples], progress) if scorer else None
    table = _table(examples, result.answered, texts, meaning, scorer)
    before = np.array([row.uncalibrated for row in result.answered])
    metrics = Metrics(
        dataset=_dataset(name, table, examples),
        exact_match=_estimate(table, table.exact_match),
        f1=_estimate(table, table.f1),
        calibration=Calibration(temperature, _error(table, before), _error(table, table.confidence)),
        slices=_slices(table, examples),
        questions_per_second=len(examples) / result.seconds,
        precision=precision,
        bertscore=_bertscore(table, scorer.encoder) if scorer else None,
        weights=weights or None,
        squad2=_squad2(table, texts, examples),
    )
    return Evaluation(metrics, table)


def again(examples: Sequence[Example], table: PredictionTable, metrics: Metrics) -> Evaluation:
    """The scores of saved answers to `examples`, computed anew without a model.

    Calibration, speed, precision and weights stay as `metrics`, which was saved with them, has them, and so does each
    question's BERTScore.

    Raises:
        UserError: the answers are to other questions, `metrics` are not theirs, or are of an earlier version that
            counted questions without a gold answer as wrong.
    """
    mark = fingerprint(examples)
    table = in_order(table, examples, mark)
    counts = Counts.of(examples)
    if metrics.dataset.scored is None and counts.scored < counts.questions:
        raise UserError(
            f"{counts.sentences[0]} An earlier version counted them as wrong, in the calibration too: evaluate the "
            "variant itself once more"
        )
    texts = answers(table, examples)
    scores = score(dict(zip(table.ids, texts, strict=True)), examples)
    article, passage = _places(examples)
    table = replace(table, exact_match=scores.exact_match, f1=scores.f1, article=article, passage=passage)
    dataset = _dataset(metrics.dataset.name, table, examples)
    exact, f1 = (_estimate(table, values) for values in (table.exact_match, table.f1))
    if metrics.dataset.fingerprint != mark or abs(f1.value - metrics.f1.value) > _SAME:
        raise UserError("the saved scores are not those of the saved answers: evaluate the variant itself once more")
    bertscore = metrics.bertscore
    if bertscore and table.bertscore is not None:
        bertscore = _bertscore(table, bertscore.encoder)
    slices, squad2 = _slices(table, examples), _squad2(table, texts, examples)
    found = replace(
        metrics, dataset=dataset, exact_match=exact, f1=f1, bertscore=bertscore, slices=slices, squad2=squad2
    )
    return Evaluation(found, table)


def _table(
    examples: Sequence[Example],
    answered: Sequence[Answered],
    texts: Sequence[str],
    meaning: Floats | None,
    scorer: BertScorer | None,
) -> PredictionTable:
    scores = score({example.id: text for example, text in zip(examples, texts, strict=True)}, examples)
    article, passage = _places(examples)
    null = np.array([row.null for row in answered]) if any(example.unanswerable for example in examples) else None
    return PredictionTable(
        fingerprint=fingerprint(examples),
        ids=tuple(example.id for example in examples),
        start=np.array([-1 if row.start is None else row.start for row in answered], dtype=np.int32),
        end=np.array([-1 if row.end is None else row.end for row in answered], dtype=np.int32),
        score=np.array([np.nan if row.score is None else row.score for row in answered]),
        confidence=np.array([row.confidence for row in answered]),
        exact_match=scores.exact_match,
        f1=scores.f1,
        windows=np.array([row.windows for row in answered], dtype=np.int32),
        bertscore=None if meaning is None else np.where(has_gold(examples), meaning, np.nan),
        bertscore_hash=scorer.hash if scorer else None,
        article=article,
        passage=passage,
        null=null,
    )


def _places(examples: Sequence[Example]) -> tuple[Ints, Ints]:
    """Which questions share an article, and which a passage."""
    return numbered(example.title for example in examples), numbered(example.passage for example in examples)


def _dataset(name: str, table: PredictionTable, examples: Sequence[Example]) -> Dataset:
    return Dataset(name, table.fingerprint, *astuple(Counts.of(examples)))


def _estimate(table: PredictionTable, values: Floats) -> Estimate:
    return Estimate.of(values[table.scored], table.units)


def _bertscore(table: PredictionTable, encoder: str) -> BertScore:
    assert table.bertscore is not None
    assert table.bertscore_hash is not None
    found = _estimate(table, table.bertscore)
    return BertScore(
        **{one.name: getattr(found, one.name) for one in fields(found)}, hash=table.bertscore_hash, encoder=encoder
    )


def _slices(table: PredictionTable, examples: Sequence[Example]) -> tuple[SliceScores, ...]:
    some = [example for example in examples if example.answers]
    return tuple(slices(some, table.exact_match[table.scored], table.f1[table.scored]))


def _squad2(table: PredictionTable, texts: Sequence[str], examples: Sequence[Example]) -> Squad2 | None:
    return squad2(texts, examples, None if table.null is None else table.null - table.score)


def _text(row: Answered, example: Example) -> str:
    if row.id != example.id:
        raise ValueError(f"the answer to {row.id!r} stands where that to {example.id!r} should")
    return "" if row.start is None else example.passage[row.start : row.end]


def _error(table: PredictionTable, confidence: Floats) -> CalibrationError:
    scored = table.scored
    confidence, correct, one_window = confidence[scored], table.exact_match[scored], table.windows[scored] == 1

    def of(chosen: NDArray[np.bool_]) -> float | None:
        return 100 * expected_calibration_error(confidence[chosen], correct[chosen]) if chosen.any() else None

    return CalibrationError(
        overall=100 * expected_calibration_error(confidence, correct),
        one_window=of(one_window),
        many_windows=of(~one_window),
        reliability=tuple(
            Reliability(100 * row.low, 100 * row.high, 100 * row.confidence, 100 * row.accuracy, row.count)
            for row in reliability_table(confidence, correct)
        ),
    )
