"""Simulated visitors of a served page: what they ask, whether what comes back is right, and how long it took.

Every passage carries a word of its own that only its answer can have. What comes back is an answer, or "busy, try again
in N s", which a visitor heeds; anything else is wrong.
"""

from __future__ import annotations

import json
import random
import re
import secrets
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.request import urlopen

import httpx
from gradio_client import Client
from gradio_client.exceptions import AppError

BUSY = re.compile(r"Busy: [^.]+\. Try again in (\d+) s\.")
KINDS = ("compare", "compare", "compare", "batch", "errors", "metrics", "open")
BATCH = 50  # questions
QUESTION = "Which river rises in the hills?"
PATIENCE = 120.0  # seconds until a silent server counts as one that does not answer
_PAUSE = (0.5, 4.0)  # seconds between two requests of a visitor
_LONGEST_WAIT = 30.0


class Wrong(Exception):
    """What came back is no answer to what was asked."""


@dataclass
class Tally:
    """What all visitors have seen; `seconds` by kind of request, of those that were answered."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, spent: float, outcome: str) -> None:
        """Count one request; `outcome` is answered, busy, or what went wrong."""
        with self.lock:
            self.outcomes[outcome if outcome in ("answered", "busy") else "failed"] += 1
            if outcome == "answered":
                self.seconds.setdefault(kind, []).append(spent)
            elif outcome != "busy":
                self.wrong.append(f"{kind}: {outcome}")


class Visitor:
    """One who opens the page and asks, with pauses as people make them."""

    def __init__(self, url: str, tally: Tally) -> None:
        self._url, self._tally = url, tally
        self._dice = random.Random()
        self._client: Client | None = None

    def stay(self, until: float) -> None:
        """Ask until `time.monotonic()` is at `until`; each visitor opens the page first."""
        time.sleep(min(self._dice.uniform(0, 4), max(0.0, until - time.monotonic())))
        while time.monotonic() < until:
            kind = self._dice.choice(KINDS) if self._client else "open"
            wait = self._once(kind)
            time.sleep(max(0.0, min(wait, until - time.monotonic())))
        self._leave()

    def _once(self, kind: str) -> float:
        """One request; the seconds until the next one."""
        begin, wait = time.monotonic(), self._dice.uniform(*_PAUSE)
        try:
            getattr(self, f"_{kind}")()
            outcome = "answered"
        except httpx.HTTPStatusError as error:
            outcome, asked_to = _refusal(error.response)
            wait = max(wait, min(asked_to, _LONGEST_WAIT))
        except AppError as error:
            found = BUSY.fullmatch(str(error))
            outcome = "busy" if found else f"refused: {error}"
            wait = max(wait, min(float(found[1]), _LONGEST_WAIT)) if found else wait
        except Exception as error:  # whatever it is, it is counted and told at the end
            outcome = f"{type(error).__name__}: {error}"
        self._tally.add(kind, time.monotonic() - begin, outcome)
        return wait

    def _leave(self) -> None:
        with suppress(Exception):
            if self._client:
                self._client.close()
        self._client = None

    def _open(self) -> None:
        """The page as a browser gets it, and a new session."""
        self._leave()
        with urlopen(self._url, timeout=PATIENCE) as reply:  # noqa: S310 - our own address
            if b"gradio" not in reply.read():
                raise Wrong("no page")
        self._client = Client(
            self._url,
            verbose=False,
            analytics_enabled=False,
            ssl_verify=False,  # there is nothing to verify, and the certificates take long to read
            httpx_kwargs={"timeout": PATIENCE},
        )

    def _predict(self, **asked: Any) -> dict[str, Any]:
        assert self._client
        found: dict[str, Any] = self._client.predict(**asked)
        return found

    def _compare(self) -> None:
        nonce, passage = written()
        found = self._predict(passage=passage, question=QUESTION, api_name="/compare")
        if any(column["problem"] for column in found["variants"]):
            raise Wrong(f"a variant that cannot answer: {found['variants']}")
        check(nonce, passage, found["variants"])

    def _batch(self) -> None:
        texts = dict(written() for _ in range(BATCH))
        questions = [{"id": nonce, "passage": text, "question": QUESTION} for nonce, text in texts.items()]
        found = self._predict(questions=questions, api_name="/predict_batch")
        if found["problems"] or [one["id"] for one in found["predictions"]] != [*texts]:
            raise Wrong(f"not the questions that were asked: {found['problems']}")
        for one in found["predictions"]:
            check(one["id"], texts[one["id"]], list(one["variants"].values()))

    def _errors(self) -> None:
        found = self._predict(source="sample", text="the", limit=20, api_name="/errors")
        if not found["columns"] or found["missing"] or not 0 < len(found["rows"]) <= 20:
            raise Wrong("no rows")

    def _metrics(self) -> None:
        if not self._predict(backbone="minilm-l6-qa", api_name="/metrics")["variants"]:
            raise Wrong("no scores")


def written() -> tuple[str, str]:
    """A word that nobody else has, and a passage with it in all places where an answer can be."""
    nonce = f"Zq{secrets.token_hex(6)}"
    return nonce, f"The river {nonce} rises in the {nonce} hills and flows past {nonce} town to the {nonce} sea."


def check(nonce: str, passage: str, answers: list[dict[str, Any]]) -> None:
    """Raise `Wrong` unless each answer is of this passage, and one at least has the word that only this one has."""
    for one in answers:
        if not one["answer"] or passage[one["start"] : one["end"]] != one["answer"]:
            raise Wrong(f"an answer that is not of its passage: {one['answer']!r}")
    if not any(nonce in one["answer"] for one in answers):
        raise Wrong("no answer has the word that only this passage has")


def _refusal(response: httpx.Response) -> tuple[str, float]:
    """("busy", the seconds to wait), or what else it was."""
    try:
        told = str(json.loads(response.read()).get("detail", ""))
    except (ValueError, AttributeError, httpx.HTTPError):
        told = ""
    found = BUSY.fullmatch(told)
    return ("busy", float(found[1])) if found and response.status_code == 429 else (f"{response.status_code} {told}", 0)
