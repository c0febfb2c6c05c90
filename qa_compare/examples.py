"""Questions with their passage and gold answers, the built-in sample, and SQuAD from the hub.

Files are read in `readers.py`.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from qa_compare import hub
from qa_compare.errors import UserError
from qa_compare.waiting import Awaited

SAMPLE = Path(__file__).parent / "data" / "sample.json"
# what `fingerprint` gives for the 10,570 questions of SQuAD v1.1's validation split
SQUAD_VALIDATION = "c87e98ed9cbf26b73ee835c51239b075fcbd399040f3ad1885adee52a30dad72"
_PROBE_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """A gold answer: `passage[start : start + len(text)] == text`, `start` in characters."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Example:
    """One question about one passage; `answers` is empty where no gold answer is known."""

    id: str
    title: str
    passage: str
    question: str
    answers: tuple[Answer, ...] = ()


@cache
def sample() -> list[Example]:
    """The built-in questions, written for this project, over ten fields. The list is shared: do not change it."""
    from qa_compare.readers import read_examples

    return read_examples(SAMPLE)


def titles(examples: Iterable[Example]) -> list[str]:
    """The articles' titles, each once, in their order."""
    return list(dict.fromkeys(example.title for example in examples))


def to_squad(examples: Sequence[Example]) -> dict[str, Any]:
    """The examples as SQuAD v1.1's object: neighbours of one title and passage stand together."""
    data: list[dict[str, Any]] = []
    for example in examples:
        if not data or data[-1]["title"] != example.title:
            data.append({"title": example.title, "paragraphs": []})
        paragraphs = data[-1]["paragraphs"]
        if not paragraphs or paragraphs[-1]["context"] != example.passage:
            paragraphs.append({"context": example.passage, "qas": []})
        answers = [{"text": answer.text, "answer_start": answer.start} for answer in example.answers]
        paragraphs[-1]["qas"].append({"id": example.id, "question": example.question, "answers": answers})
    return {"version": "1.1", "data": data}


def fingerprint(examples: Iterable[Example]) -> str:
    """The SHA-256 over the sorted (id, passage, question, sorted answer texts).

    It is the same for the hub's copy and a JSON file, whatever their order, bytes and answer offsets.
    """
    rows = sorted(
        [example.id, example.passage, example.question, *sorted({answer.text for answer in example.answers})]
        for example in examples
    )
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def squad_validation() -> list[Example]:
    """SQuAD v1.1's 10,570 validation questions from the hub, waited for some seconds.

    Raises:
        UserError: they cannot be had, or have not come yet: they are fetched on, and a later call may have them.
    """
    return _VALIDATION.get()


def squad_train() -> list[Example]:
    """SQuAD v1.1's training questions from the hub. Raises UserError where they cannot be had."""
    return _squad("train")


def _squad(split: str) -> list[Example]:
    # asked first: offline, the library tries for half a minute before it says no
    offline = hub.switched_off() or not _hub_answers()
    import datasets

    try:
        download = datasets.DownloadConfig(local_files_only=offline)
        with _offline(offline):
            rows = datasets.load_dataset("rajpurkar/squad", split=split, download_config=download)
    except Exception as error:  # the library raises a dozen kinds when a data set cannot be had
        why = (
            "the Hugging Face hub cannot be reached" if offline else f"the hub did not give it ({type(error).__name__})"
        )
        raise UserError(f"SQuAD ({split}) is not on this machine and {why}: give a SQuAD JSON file instead") from error
    return [_from_hub(row) for row in rows]


_VALIDATION = Awaited(
    lambda: _squad("validation"),
    seconds=20,
    late="SQuAD (validation) is still on its way from the Hugging Face hub: choose it again in a while, or give a "
    "SQuAD JSON file instead",
)


def _from_hub(row: dict[str, Any]) -> Example:
    pairs = zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)
    answers = tuple(Answer(text, start) for text, start in pairs)
    return Example(row["id"], row["title"], row["context"], row["question"], answers)


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Lets `datasets` look only into its cache, while the block runs."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = wanted or before
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _hub_answers() -> bool:
    """Whether the hub accepts a connection, asked for some seconds at most; taken for granted behind a proxy."""
    from huggingface_hub.constants import ENDPOINT

    address = urlsplit(ENDPOINT)
    if address.scheme in getproxies():
        return True
    port = address.port or (443 if address.scheme == "https" else 80)
    answered = threading.Event()

    def ask() -> None:
        with suppress(OSError), socket.create_connection((address.hostname or "", port), timeout=_PROBE_SECONDS):
            answered.set()

    # in a thread: a connection's time limit is for each of the hub's dozen addresses, and there is none for its name
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PROBE_SECONDS)
    return answered.is_set()
