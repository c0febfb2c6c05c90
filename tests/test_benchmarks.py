"""The benchmarks' common parts: sides take turns, the first round is left out, a goal is met or missed."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from benchmarks import footprint, measure, soak, users
from qa_compare.inference.engine import Engine
from tests import tiny

pytestmark = pytest.mark.slow


def test_sides_take_turns_and_the_first_round_is_left_out() -> None:
    calls: list[str] = []

    def side(name: str) -> measure.Side:
        return lambda: calls.append(name) or float(len(calls))

    assert measure.alternate({"a": side("a"), "b": side("b")}, 2) == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    assert calls == ["a", "b"] * 3


@pytest.mark.parametrize(
    ("bounds", "reached"), [({"most": 2}, True), ({"most": 1.9}, False), ({"least": 2.1}, False), ({}, None)]
)
def test_a_ratio_of_medians_is_held_against_its_goal(bounds: dict[str, float], reached: bool | None) -> None:
    found = measure.row("", "slow", "fast", {"slow": [9, 4, 4], "fast": [2, 1, 2]}, **bounds)
    assert (found["ratio"], found["reached"]) == (2, reached)


@pytest.mark.parametrize("size", [{"words": 150}, {"characters": 20_000}])
def test_the_text_to_ask_about_has_the_length_that_was_asked_for(size: dict[str, int]) -> None:
    text = measure.text(**size)
    assert (len(text.split()) if "words" in size else len(text)) == next(iter(size.values()))


def test_bytes_are_counted_once_a_storage() -> None:
    model = tiny.model()
    one = footprint.held([model])
    assert one == sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    assert footprint.held([model, model]) == one
    assert footprint.held([model, tiny.model()]) == 2 * one


def test_a_simulated_visitor_notices_an_answer_to_another_question() -> None:
    (mine, passage), (other, theirs) = soak.written(), soak.written()
    start = passage.index(mine)
    right = {"answer": mine, "start": start, "end": start + len(mine)}
    soak.check(mine, passage, [right])
    for wrong in (
        [{**right, "answer": other}],
        [{**right, "start": start + 1}],
        [{"answer": "", "start": 0, "end": 0}],
        [{"answer": "town", "start": passage.index("town"), "end": passage.index("town") + 4}],
    ):
        with pytest.raises(soak.Wrong):
            soak.check(mine, passage, wrong)
    assert theirs != passage


@pytest.mark.parametrize(
    ("status", "detail", "outcome"),
    [
        (429, "Busy: 1 request is waiting. Try again in 3 s.", ("busy", 3.0)),
        (429, "Busy: 64 requests are waiting. Try again in 12 s.", ("busy", 12.0)),
        (429, "Too many", ("429 Too many", 0)),
        (
            503,
            "Busy: 1 request is waiting. Try again in 3 s.",
            ("503 Busy: 1 request is waiting. Try again in 3 s.", 0),
        ),
        (500, None, ("500 ", 0)),
    ],
)
def test_busy_is_what_says_when_to_come_again_and_nothing_else(status: int, detail: str | None, outcome: Any) -> None:
    body = b"Internal Server Error" if detail is None else json.dumps({"detail": detail}).encode()
    assert soak.refusal(httpx.Response(status, content=body)) == outcome


def test_a_benchmark_writes_rounds_goals_and_the_machine_and_a_quick_look_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    checkpoint = str(tiny.checkpoint(tmp_path / "checkpoint"))
    monkeypatch.setattr(users, "Engine", lambda: Engine(checkpoint, adapters=tmp_path, precision="fp32"))
    monkeypatch.setattr(measure, "ROUNDS", 1)
    output = tmp_path / "users.json"
    users.main(["--quick", "--threads", "1", "--output", str(output)])
    assert not output.exists()
    users.main(["--rounds", "1", "--threads", "1", "--output", str(output)])
    found = json.loads(output.read_text())
    assert found["machine"]["threads"] == 1
    assert [len(row["rounds"]["at once"]) for row in found["rows"][:1]] == [1]
    assert {"ratio", "goal", "reached", "median"} <= set(found["rows"][0])
