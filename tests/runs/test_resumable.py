"""A pass over many questions: cut, resumed, damaged, and shared by processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from qa_compare.inference.decoding import decode
from qa_compare.inference.engine import Engine
from qa_compare.runs import evaluate
from qa_compare.runs.evaluate import Pass, Team, Work, key
from tests import measured, tiny
from tests.measured import long_examples


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the backbone `river-bert` and the variant `warm` at a temperature of 2."""
    folder = tmp_path_factory.mktemp("resumable")
    measured.backbone(folder)
    measured.variant(folder / "adapters", "warm", seed=3, temperature=2.0)
    return folder


@pytest.fixture
def engine(place: Path) -> Engine:
    return Engine(str(place / "river-bert"), adapters=place / "adapters", precision="fp32", batch_size=8)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "CHUNK", 4)


def quiet(done: int, total: int) -> None: ...


def test_both_confidences_come_from_one_run_of_the_model(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = long_examples(6)
    encoded = engine.encode(examples)
    logits = engine.logits(encoded, "warm")
    calls: list[int] = []
    monkeypatch.setattr(engine, "logits", lambda some, variant: calls.append(len(some)) or logits)
    found = Work(engine, examples, "warm", tmp_path / "runs", Team()).run(quiet)
    assert calls == [6]
    for row, one, pair in zip(found.answered, encoded, logits, strict=True):
        best, plain = (decode(one, *pair, temperature=temperature, top=1) for temperature in (2.0, 1.0))
        assert (row.id, row.windows) == (one.example.id, best.windows)
        assert (row.start, row.end, row.score) == (
            best.candidates[0].start,
            best.candidates[0].end,
            best.candidates[0].score,
        )
        assert row.confidence == best.confidence
        assert row.uncalibrated == pytest.approx(plain.confidence)
        assert row.uncalibrated != pytest.approx(row.confidence)
    assert [row.windows > 1 for row in found.answered] == [False, False, True] * 2


@pytest.mark.usefixtures("small_chunks")
def test_a_pass_that_was_cut_goes_on_and_comes_out_the_same(engine: Engine, tmp_path: Path) -> None:
    examples = long_examples(14)
    whole = Work(engine, examples, "warm", tmp_path / "whole", Team()).run(quiet)

    def stop(done: int, total: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Work(engine, examples, "warm", tmp_path / "cut", Team()).run(stop)
    seen: list[tuple[int, int]] = []
    work = Work(engine, examples, "warm", tmp_path / "cut", Team())
    assert (work.found, work.total) == (8, 14)
    assert work.run(lambda done, total: seen.append((done, total))).answered == whole.answered
    assert seen == [(12, 14), (14, 14)]
    assert Work(engine, examples, "warm", tmp_path / "cut", Team()).found == 14
    work.forget()
    assert not (tmp_path / "cut").exists()


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [*lines[:-1], lines[-1][:-40]],
        lambda lines: [*lines[:-1], b"\0" * 400],
        lambda lines: [*lines[:-1], b"\xff\xfe", b"[1, 2]", b"7", b'{"a": 1, "b": 2, "c": 3}'],
        lambda lines: [*lines[:-1], lines[-1].replace(b"[2,", b"[99,", 1)],
        lambda lines: [*lines[:-1], lines[-1].replace(b'"q', b'"x', 1)],
    ],
    ids=["half written", "zeros", "foreign", "another chunk", "another question"],
)
def test_a_damaged_chunk_is_answered_again(
    damage: Callable[[list[bytes]], list[bytes]], engine: Engine, tmp_path: Path
) -> None:
    examples = tiny.examples(12)
    whole = Work(engine, examples, "base", tmp_path / "runs", Team()).run(quiet)
    [file] = (tmp_path / "runs").iterdir()
    file.write_bytes(b"\n".join(damage(file.read_bytes().split(b"\n"))))
    work = Work(engine, examples, "base", tmp_path / "runs", Team())
    assert work.found == 8
    assert work.run(quiet).answered == whole.answered
    assert Work(engine, examples, "base", tmp_path / "runs", Team()).found == 12


@pytest.mark.usefixtures("small_chunks")
def test_processes_on_machines_with_disks_of_their_own_share_what_is_left(engine: Engine, tmp_path: Path) -> None:
    examples = tiny.examples(22)  # six chunks
    whole = Work(engine, examples, "base", tmp_path / "whole", Team()).run(quiet)
    here, there = tmp_path / "0", tmp_path / "1"
    with pytest.raises(KeyboardInterrupt):
        Work(engine, examples, "base", there, Team()).run(interrupt)
    together = Threads(2)
    answered: dict[int, list[int]] = {}

    def work(index: int, folder: Path) -> Pass:
        mine = Work(engine, examples, "base", folder, together.member(index))  # type: ignore[arg-type]
        answered[index] = list(mine._mine)
        return mine.run(quiet)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(work, (0, 1), (here, there)))
    assert [one.answered for one in both] == [whole.answered, whole.answered]
    lines = [line for folder in (here, there) for path in folder.iterdir() for line in path.read_text().split("\n")]
    seconds = {chunk[0]: chunk[1] for chunk in (json.loads(line) for line in lines if line)}
    assert len(lines) == len(seconds) + 3 == 9  # each of the three files begins with a line break
    alone = seconds.pop(0)  # one process had answered it before the two began
    assert [one.seconds for one in both] == pytest.approx([alone + sum(seconds.values()) / 2] * 2)
    assert answered == {0: [1, 3, 5], 1: [2, 4]}  # chunk 0 lies on the second one's disk


def interrupt(done: int, total: int) -> NoReturn:
    raise KeyboardInterrupt


class Threads:
    """A team whose processes are threads."""

    def __init__(self, count: int) -> None:
        self.count, self.barrier, self.said = count, threading.Barrier(count), {}

    def member(self, index: int) -> SimpleNamespace:
        def gather(items: list[Any]) -> list[Any]:
            self.barrier.wait()
            self.said[index] = items
            self.barrier.wait()
            return [item for one in range(self.count) for item in self.said[one]]

        return SimpleNamespace(index=index, count=self.count, gather=gather)


@pytest.mark.usefixtures("small_chunks")
def test_the_seconds_of_an_earlier_part_count(engine: Engine, tmp_path: Path) -> None:
    examples = tiny.examples(8)
    first = Work(engine, examples, "base", tmp_path / "runs", Team()).run(quiet)
    again = Work(engine, examples, "base", tmp_path / "runs", Team()).run(quiet)
    assert first.seconds == again.seconds > 0


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 3), (2, 3)])
def test_a_pass_that_goes_on_in_another_number_of_processes_counts_each_chunk_by_the_team_of_its_time(
    engine: Engine, tmp_path: Path, before: int, after: int
) -> None:
    examples = tiny.examples(24)  # six chunks

    def member(index: int, count: int) -> Any:
        return SimpleNamespace(index=index, count=count, gather=lambda items: items)

    with pytest.raises(KeyboardInterrupt):  # the first of the team answers one chunk, and all are killed
        Work(engine, examples, "base", tmp_path / "runs", member(0, before)).run(interrupt)
    together = Threads(after)
    with ThreadPoolExecutor(after) as pool:
        passes = list(
            pool.map(
                lambda index: Work(engine, examples, "base", tmp_path / "runs", together.member(index)).run(quiet),  # type: ignore[arg-type]
                range(after),
            )
        )
    lines = [line for path in (tmp_path / "runs").iterdir() for line in path.read_text().split("\n") if line]
    told = {number: (seconds, team) for number, seconds, team, _ in map(json.loads, lines)}
    assert [team for _, (_, team) in sorted(told.items())] == [before, *[after] * 5]
    expected = sum(seconds / team for seconds, team in told.values())
    assert [one.seconds for one in passes] == pytest.approx([expected] * after)


def test_partial_results_of_anything_else_are_not_taken(
    place: Path, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(variant: str = "warm", data: str = "f" * 64, **changes: Any) -> str:
        options = {"adapters": place / "adapters", "precision": "fp32", "batch_size": 8, **changes}
        backbone = options.pop("backbone", place / "river-bert")
        return key(Engine(str(backbone), **options), variant, data)

    other = tmp_path / "other"
    measured.variant(other / "adapters", "warm", seed=4, temperature=2.0)
    warmer = tmp_path / "warmer"
    measured.variant(warmer / "adapters", "warm", seed=3, temperature=2.5)
    based = tmp_path / "based"
    measured.variant(based / "adapters", "warm", seed=3, temperature=2.0)
    measured.variant(based / "adapters", "base", seed=5)
    keys = [
        made(),
        made(variant="base"),
        made(data="e" * 64),
        made(precision="bf16"),
        made(batch_size=9),
        made(adapters=other / "adapters"),
        made(adapters=warmer / "adapters"),
        made(adapters=based / "adapters"),
        made(backbone=tiny.checkpoint(other / "river-bert", seed=1)),
    ]
    assert len(set(keys)) == len(keys)
    assert made() == keys[0] == key(engine, "warm", "f" * 64)
    assert all(one.startswith("river-bert-") for one in keys)
    monkeypatch.setattr(evaluate, "_SPANS", 1)
    assert made() not in keys
